"""Batch norms that a program computes in another way than the float model says, or than the other program."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from qatrix.diagnoses import Cause
from qatrix.judge.diagnosis.causes.facts import Facts, Found, found, joined
from qatrix.judge.diagnosis.layout import Site
from qatrix.judge.diagnosis.sight import Norm, Sight
from qatrix.judge.wording import causes as words

# A linear layer's channels are its last axis, a batch norm's the second.
_RANK_OF_ONE_AXIS: Final = 2


def setting_replaced(facts: Facts) -> Iterator[Found]:
    """A batch norm's eps or momentum is another than the float model's in one program."""
    told = set()
    for at, sight, other in facts.views():
        for key, norm in sight.norms.items():
            site = facts.layout.sites[key]
            for setting in ("eps", "momentum"):
                wrong = _wrong(site, norm, setting)
                twin = other.norms.get(key)
                if not wrong or (twin is not None and _wrong(site, twin, setting)) or (key, setting) in told:
                    continue
                told.add((key, setting))
                evidence = [
                    words.NORM_SETTING_FOUND(pipeline=sight.pipeline, at=at, place=place, setting=setting, value=value)
                    for place, value in wrong.items()
                ]
                if twin is not None:
                    value = getattr(twin, setting)
                    evidence.append(
                        words.NORM_SETTING_OF_OTHER(other=other.pipeline, at=at, setting=setting, value=value)
                    )
                yield _replaced(site, setting, sight.pipeline, evidence)


def _wrong(site: Site, norm: Norm, setting: str) -> dict[str, float]:
    """Where a program has another value than the float model, and which."""
    declared = site.facts.get(setting)
    if not isinstance(declared, (int, float)):
        return {}
    values = {"batch norm": getattr(norm, setting)}
    if setting == "eps":
        values["scale factor"] = norm.factor_eps
    return {
        place: value
        for place, value in values.items()
        if value is not None and not math.isclose(value, declared, rel_tol=1e-6)
    }


def _replaced(site: Site, setting: str, pipeline: str, evidence: list[str]) -> Found:
    declared = f"{site.facts[setting]:g}"
    return found(
        f"batch_norm_{setting}_replaced",
        "defect",
        words.NORM_SETTING_REPLACED(pipeline=pipeline, layer=site.name, setting=setting, declared=declared),
        layer=site.name,
        pipeline=pipeline,
        computed=(site.name,),
        evidence=(words.NORM_SETTING(layer=site.name, setting=setting, declared=declared), *evidence),
    )


def one_norm_for_two(facts: Facts) -> Iterator[Found]:
    """A module that is called twice is fused with one batch norm, where two different ones follow its calls."""
    told = set()
    for at, sight, _ in facts.views():
        for path, keys in sight.modules.items():
            chains = [facts.compound(facts.layout.sites[key], sight) for key in keys]
            norms = sorted({name for chain in chains for name in chain if _is_norm(facts, name)})
            # The second call of a layer "bn" is called "bn@2"; one batch norm for one module is as it should be.
            layers = {name.partition("@")[0] for name in norms}
            if len(layers) < 2 or path in told:  # noqa: PLR2004
                continue
            told.add(path)
            yield found(
                "one_batch_norm_for_two",
                "defect",
                words.ONE_NORM_FOR_TWO(pipeline=sight.pipeline, norms=" and ".join(norms)),
                layer=norms[0],
                pipeline=sight.pipeline,
                computed=[name for chain in chains for name in chain],
                evidence=(
                    words.CALLED_WITH_NORMS(module=path, count=len(keys), norms=", ".join(norms)),
                    words.CALLS_SHARE_NORM(pipeline=sight.pipeline, at=at),
                ),
            )


def _is_norm(facts: Facts, name: str) -> bool:
    return any(site.name == name and "momentum" in site.facts for site in facts.layout.sites.values())


def normalizes_with_the_batch(facts: Facts) -> Iterator[Found]:
    """A converted program still normalizes with the statistics of the batch, the other with the running ones."""
    for at, sight, other in facts.views():
        for key, norm in sight.norms.items():
            twin = other.norms.get(key)
            if at != "convert" or not norm.training or (twin is not None and twin.training):
                continue
            name = facts.name(key)
            instead = words.RUNNING_STATISTICS if twin is not None else words.RUNNING_STATISTICS_FOLDED
            yield found(
                "batch_norm_left_in_training",
                "defect",
                words.NORM_LEFT_IN_TRAINING(pipeline=sight.pipeline, layer=name),
                layer=name,
                pipeline=sight.pipeline,
                computed=facts.compound(facts.layout.sites[key], other),
                evidence=(
                    words.TRAINING_IS_CONSTANT(pipeline=sight.pipeline, at=at),
                    instead(other=other.pipeline, at=at),
                ),
            )


def not_folded(facts: Facts) -> Iterator[Found]:
    """One converted program still computes a batch norm that the other folded into the layer before."""
    for sight, other, key, before in _kept(facts):
        if facts.is_undeclared(sight, other, key):
            continue
        name = facts.name(key)
        yield found(
            "batch_norm_not_folded",
            "one_pipeline",
            words.NORM_NOT_FOLDED(pipeline=sight.pipeline, layer=name, before=before),
            layer=name,
            pipeline=sight.pipeline,
            computed=facts.compound(facts.layout.sites[key], other),
            evidence=_left(sight, other, key),
        )


def left_by_both(facts: Facts) -> Iterator[Cause]:
    """Both converted programs still compute a batch norm that belongs into a convolution or linear layer."""
    left, right = facts.sights.get("convert", (None, None))
    if left is None or right is None:
        return
    for key in left.norms:
        site = facts.layout.sites[key]
        before = _weighted_before(facts, site, left) if key in right.norms else None
        if before is not None:
            yield Cause(
                name="batch_norm_left_by_both",
                kind="defect",
                sentence=words.NORM_LEFT_BY_BOTH(
                    left=left.pipeline, right=right.pipeline, layer=site.name, before=before.name
                ),
                layer=site.name,
                evidence=tuple(
                    words.NORM_LEFT(pipeline=sight.pipeline, node=_node(sight, key)) for sight in (left, right)
                ),
            )


def _weighted_before(facts: Facts, norm: Site, sight: Sight) -> Site | None:
    """The layer that a batch norm belongs into, past other batch norms; None where others read what is between."""
    site = norm
    while "momentum" in site.facts:
        source = facts.layout.sites[site.inputs[0]]
        if source.key in facts.layout.outputs or len(facts.layout.consumers(source.key)) > 1:
            return None
        site = source
    value = sight.computed(norm.key)
    one_axis = isinstance(value, Tensor) and value.ndim == _RANK_OF_ONE_AXIS
    return site if site.op.startswith("Conv") or (site.op == "Linear" and one_axis) else None


def fusion_not_declared(facts: Facts) -> Iterator[Found]:
    """The declaration annotates no batch norm; one pipeline folds it all the same, and quantizes what comes of it."""
    for sight, other, key, before in _kept(facts):
        if not facts.is_undeclared(sight, other, key):
            continue
        chain = facts.compound(facts.layout.sites[key], other)
        yield found(
            "fusion_not_declared",
            "by_design",
            words.FUSION_NOT_DECLARED(
                pipeline=sight.pipeline, other=other.pipeline, layer=facts.name(key), before=before
            ),
            layer=facts.name(key),
            pipeline=None,
            computed=chain,
            quantized=chain,
            evidence=(words.ANNOTATED(chains=", ".join(sorted(facts.annotated))), *_left(sight, other, key)),
        )


def _kept(facts: Facts) -> Iterator[tuple[Sight, Sight, str, str]]:
    """Who keeps a batch norm once it is converted, who does not, which, and into what layer that one folds it."""
    for at, sight, other in facts.views():
        for key in sight.norms if at == "convert" else ():
            before = facts.folded_into(other, key)
            if key not in other.norms and before is not None:
                yield sight, other, key, before


def _left(sight: Sight, other: Sight, key: str) -> tuple[str, str]:
    return (
        words.NORM_LEFT(pipeline=sight.pipeline, node=_node(sight, key)),
        words.NO_NORM_LEFT(other=other.pipeline),
    )


def _node(sight: Sight, key: str) -> str:
    """The node that computes a batch norm, by itself or as one with what follows."""
    lasts = [last for last, merged in sight.placement.fused.items() if key in merged]
    probes = [sight.placement.computed[item] for item in (key, *lasts) if item in sight.placement.computed]
    return next((sight.labels[probe.node] for probe in probes if probe.node in sight.labels), words.ANY_NORM())


def folded_though_read(facts: Facts) -> Iterator[Found]:
    """A batch norm is folded into a layer whose own output something else reads, too."""
    told = set()
    for at, sight, other in facts.views():
        for key in other.norms:
            site = facts.layout.sites[key]
            source = site.inputs[0] if site.inputs else ""
            readers = [reader.name for reader in facts.layout.consumers(source)]
            gone = key not in sight.norms and key not in sight.placement.computed and key not in sight.placement.nested
            if not gone or len(readers) < 2 or key in told or _agree(sight, other, source):  # noqa: PLR2004
                continue
            told.add(key)
            name, before = site.name, facts.name(source)
            rest = joined(reader for reader in readers if reader != name)
            yield found(
                "folded_though_read",
                "defect",
                words.FOLDED_THOUGH_READ(pipeline=sight.pipeline, norm=name, before=before, readers=rest),
                layer=before,
                pipeline=sight.pipeline,
                computed=(before, name),
                quantized=(before, name),
                evidence=(
                    words.READERS(readers=joined(readers), before=before),
                    words.NO_NORM_LEFT_FOR(pipeline=sight.pipeline, at=at, norm=name),
                    words.NORM_LEFT_AT(other=other.pipeline, at=at, node=_node(other, key)),
                ),
            )


def _agree(sight: Sight, other: Sight, key: str) -> bool:
    """Whether both programs compute the same there, or it cannot be told."""
    one, twin = sight.computed(key), other.computed(key)
    return not isinstance(one, Tensor) or not isinstance(twin, Tensor) or torch.equal(one, twin)
