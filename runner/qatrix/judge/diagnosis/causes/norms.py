"""Batch norms that a program computes in another way than the float model says, or than the other program."""

from __future__ import annotations

import math
from collections.abc import Iterator

from qatrix.judge.diagnosis.causes.facts import Facts, Found, found
from qatrix.judge.diagnosis.layout import Site
from qatrix.judge.diagnosis.sight import Norm, Sight


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
    for at, sight, other in facts.views():
        for key in sight.norms:
            if at != "convert" or key in other.norms or not _folded(other, key):
                continue
            probe = sight.placement.computed.get(key)
            node = (sight.labels.get(probe.node) if probe else None) or "a batch norm"
            name = facts.name(key)
            yield found(
                "batch_norm_not_folded",
                "one_pipeline",
                f"{sight.pipeline} does not fold {name} into the layer before it",
                layer=name,
                pipeline=sight.pipeline,
                computed=facts.compound(facts.layout.sites[key], other),
                evidence=(f"{sight.pipeline} at {at}: {node} is left", f"{other.pipeline} at {at}: none is"),
            )


def _folded(sight: Sight, key: str) -> bool:
    """Whether a program computes a batch norm as one with the layer before it."""
    return bool(sight.placement.fused.get(key)) or any(key in merged for merged in sight.placement.fused.values())
