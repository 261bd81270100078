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
                evidence = [f"{sight.pipeline} at {at}: {said}" for said in wrong]
                if twin is not None:
                    evidence.append(f"{other.pipeline} at {at}: {setting}={getattr(twin, setting):g}")
                yield _replaced(site, setting, sight.pipeline, evidence)


def _wrong(site: Site, norm: Norm, setting: str) -> list[str]:
    """Where a program has another value than the float model, in words."""
    declared = site.facts.get(setting)
    if not isinstance(declared, (int, float)):
        return []
    values = {"batch norm": getattr(norm, setting)}
    if setting == "eps":
        values["scale factor"] = norm.factor_eps
    return [
        f"its {place} has {setting}={value:g}"
        for place, value in values.items()
        if value is not None and not math.isclose(value, declared, rel_tol=1e-6)
    ]


def _replaced(site: Site, setting: str, pipeline: str, evidence: list[str]) -> Found:
    declared = f"{site.facts[setting]:g}"
    return found(
        f"batch_norm_{setting}_replaced",
        "defect",
        f"{pipeline} computes {site.name} with a constant {setting} instead of the model's {declared}",
        layer=site.name,
        pipeline=pipeline,
        computed=(site.name,),
        evidence=(f"the float model: {site.name} has {setting}={declared}", *evidence),
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
                f"{sight.pipeline} computes {' and '.join(norms)} with the parameters and statistics of one batch norm",
                layer=norms[0],
                pipeline=sight.pipeline,
                computed=[name for chain in chains for name in chain],
                evidence=(
                    f"the float model: {path} is called {len(keys)} times, followed by {', '.join(norms)}",
                    f"{sight.pipeline} at {at}: each call is of the same fused module, which holds one batch norm",
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
            instead = "uses its running statistics" if twin is not None else "has folded it with its running statistics"
            yield found(
                "batch_norm_left_in_training",
                "defect",
                f"{sight.pipeline} normalizes {name} with the statistics of the batch after conversion",
                layer=name,
                pipeline=sight.pipeline,
                computed=facts.compound(facts.layout.sites[key], other),
                evidence=(
                    f"{sight.pipeline} at {at}: training=True is a constant of the graph",
                    f"{other.pipeline} at {at}: {instead}",
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
            f"{sight.pipeline} does not fold {name} into {before}",
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
                sentence=f"neither {left.pipeline} nor {right.pipeline} folds {site.name} into {before.name}",
                layer=site.name,
                evidence=tuple(f"{sight.pipeline} at convert: {_node(sight, key)} is left" for sight in (left, right)),
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
            f"{sight.pipeline} does not fold {facts.name(key)} into {before} because the declaration annotates no "
            f"chain with a batch norm; {other.pipeline} folds it before it annotates",
            layer=facts.name(key),
            pipeline=None,
            computed=chain,
            quantized=chain,
            evidence=(f"annotate: {', '.join(sorted(facts.annotated))}", *_left(sight, other, key)),
        )


def _kept(facts: Facts) -> Iterator[tuple[Sight, Sight, str, str]]:
    """Who keeps a batch norm once it is converted, who does not, which, and into what layer that one folds it."""
    for at, sight, other in facts.views():
        for key in sight.norms if at == "convert" else ():
            before = facts.folded_into(other, key)
            if key not in other.norms and before is not None:
                yield sight, other, key, before


def _left(sight: Sight, other: Sight, key: str) -> tuple[str, str]:
    return f"{sight.pipeline} at convert: {_node(sight, key)} is left", f"{other.pipeline} at convert: none is"


def _node(sight: Sight, key: str) -> str:
    """The node that computes a batch norm, by itself or as one with what follows."""
    lasts = [last for last, merged in sight.placement.fused.items() if key in merged]
    probes = [sight.placement.computed[item] for item in (key, *lasts) if item in sight.placement.computed]
    return next((sight.labels[probe.node] for probe in probes if probe.node in sight.labels), "a batch norm")


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
                f"{sight.pipeline} folds {name} into {before}, though {rest} reads what {before} computes without it",
                layer=before,
                pipeline=sight.pipeline,
                computed=(before, name),
                quantized=(before, name),
                evidence=(
                    f"the float model: {joined(readers)} read {before}",
                    f"{sight.pipeline} at {at}: no batch norm is left for {name}",
                    f"{other.pipeline} at {at}: {_node(other, key)} is left",
                ),
            )


def _agree(sight: Sight, other: Sight, key: str) -> bool:
    """Whether both programs compute the same there, or it cannot be told."""
    one, twin = sight.computed(key), other.computed(key)
    return not isinstance(one, Tensor) or not isinstance(twin, Tensor) or torch.equal(one, twin)
