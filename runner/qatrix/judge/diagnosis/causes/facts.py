"""What a recogniser looks at, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from qatrix.diagnoses import Cause, Class, Divergence, PointDiagnosis
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.sight import Sight


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a case: both programs and the comparisons at each point, and the first divergence.

    `annotated` are the chains that a declared quantizer annotates, none for a preset.
    """

    names: tuple[str, str]
    layout: Layout
    points: Mapping[str, PointDiagnosis]
    sights: Mapping[str, tuple[Sight, Sight]]
    first: Divergence | None
    annotated: frozenset[str] = frozenset()

    def views(self) -> Iterator[tuple[str, Sight, Sight]]:
        """Each point from each side: its name, the one program, the other."""
        for at, (left, right) in self.sights.items():
            yield at, left, right
            yield at, right, left

    def name(self, key: str) -> str:
        """What a reader calls a site."""
        return self.layout.sites[key].name

    def compound(self, site: Site, sight: Sight) -> tuple[str, ...]:
        """A layer's name, and those of the layers that a program computes as one with it, in order."""
        for last, merged in sight.placement.fused.items():
            if site.key in (*merged, last):
                return tuple(self.name(key) for key in (*merged, last))
        return (site.name,)

    def outputs_alone(self, sight: Sight, other: Sight) -> list[str]:
        """The layers, not inputs of the model, whose output only the first program quantizes."""
        sites = [site.key for site in self.layout.sites.values() if site.kind != "input"]
        return [key for key in sites if alone(key, sight, other)]

    def is_undeclared(self, sight: Sight, other: Sight, key: str) -> bool:
        """Whether the first program has a batch norm of its own since no annotated chain has one.

        PT2E folds batch norms before it annotates; FX fuses what its backend config lists.
        """
        at_prepare = self.sights.get("prepare", ())
        names = {item.pipeline: item for item in at_prepare}
        here, there = names.get(sight.pipeline), names.get(other.pipeline)
        if not self.annotated or here is None or there is None or any("_bn" in name for name in self.annotated):
            return False
        return key in here.norms and not here.norms[key].training and key not in there.norms

    def folded_into(self, sight: Sight, key: str) -> str | None:
        """The layer at the beginning of the chain that a program computes a batch norm as one with; None for itself."""
        for last, merged in sight.placement.fused.items():
            first, *rest = (*merged, last)
            if key in rest:
                return self.name(first)
        return None


def alone(key: str, sight: Sight, other: Sight) -> bool:
    """Whether only the first program quantizes a site's value."""
    return key in sight.placement.quantized and key not in other.placement.quantized


def joined(items: Iterable[str]) -> str:
    """For instance "a", "a and b", "a, b and c"."""
    *head, last = items
    return f"{', '.join(head)} and {last}" if head else last


@dataclass(frozen=True, kw_only=True)
class Found:
    """A cause, and the layers whose computed and whose quantized values it changes."""

    cause: Cause
    computed: frozenset[str] = frozenset()
    quantized: frozenset[str] = frozenset()

    def explains(self, first: Divergence) -> bool:
        """Whether it changes the value that is the first to differ."""
        here = {first.layer, *first.covers}
        return bool(here & (self.computed if first.value == "computed" else self.quantized))


Recogniser = Callable[[Facts], Iterator[Found]]


def found(
    name: str,
    kind: Class,
    sentence: str,
    *,
    layer: str,
    pipeline: str | None,
    evidence: Iterable[str],
    computed: Iterable[str] = (),
    quantized: Iterable[str] = (),
) -> Found:
    """A cause with its evidence and its reach."""
    cause = Cause(name=name, kind=kind, sentence=sentence, pipeline=pipeline, layer=layer, evidence=tuple(evidence))
    return Found(cause=cause, computed=frozenset(computed), quantized=frozenset(quantized))
