"""What a recogniser looks at, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from qatrix.diagnoses import Cause, Class, Divergence, PointDiagnosis
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.sight import Sight


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a case: both programs and the comparisons at each point, and the first divergence."""

    names: tuple[str, str]
    layout: Layout
    points: Mapping[str, PointDiagnosis]
    sights: Mapping[str, tuple[Sight, Sight]]
    first: Divergence | None

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
