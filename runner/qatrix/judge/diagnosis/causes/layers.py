"""Layers that a program computes in another way than the float model says."""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.judge.diagnosis.causes.facts import Facts, Found, found, joined
from qatrix.judge.diagnosis.sight import Sight


def padding_mode_ignored(facts: Facts) -> Iterator[Found]:
    """A convolution pads with zeros in one program, where the model says otherwise."""
    for at, sight, other in facts.views():
        for key, module in sight.unpadded.items():
            if key in other.unpadded:
                continue
            site = facts.layout.sites[key]
            mode = site.facts["padding_mode"]
            yield found(
                "padding_mode_ignored",
                "defect",
                f"{sight.pipeline} pads {site.name} with zeros, though the model says padding_mode={mode!r}",
                layer=site.name,
                pipeline=sight.pipeline,
                computed=facts.compound(site, sight),
                evidence=(
                    f"the float model: {site.name} has padding_mode={mode!r}",
                    f"{sight.pipeline} at {at}: the forward of {module} never reads padding_mode",
                ),
            )


def left_random(facts: Facts) -> Iterator[Found]:
    """A converted program still draws random numbers at a layer, where the other does not."""
    for at, sight, other in facts.views():
        for key, label in sight.random.items():
            if at != "convert" or key in other.random:
                continue
            site = facts.layout.sites[key]
            yield found(
                "left_random",
                "defect",
                f"{sight.pipeline} leaves {site.name}, {site.op}, random after conversion",
                layer=site.name,
                pipeline=sight.pipeline,
                computed=(site.name,),
                quantized=(site.name,),
                evidence=(
                    f"{sight.pipeline} at {at}: {label} is left as it is in training",
                    f"{other.pipeline} at {at}: nothing random is left there",
                ),
            )


def nested_graph(facts: Facts) -> Iterator[Found]:
    """One program has layers in a graph of their own inside its graph, where nothing is quantized."""
    told = set()
    for at, sight, other in facts.views():
        by_op: dict[str, list[str]] = {}
        for key, op in sight.placement.nested.items():
            if key not in other.placement.nested:
                by_op.setdefault(op, []).append(key)
        for op, keys in by_op.items():
            names = [facts.name(key) for key in keys]
            touched = [key for key in keys if _at(other, facts, key) and not _at(sight, facts, key)]
            if op in told or not touched:
                continue
            told.add(op)
            yield found(
                "nested_graph",
                "one_pipeline",
                f"{sight.pipeline} has {joined(names)} in a graph inside its graph ({op}), where it quantizes nothing",
                layer=names[0],
                pipeline=sight.pipeline,
                computed=names,
                quantized=names,
                evidence=(
                    f"{sight.pipeline} at {at}: {op} runs {joined(names)}",
                    f"{other.pipeline} at {at} quantizes {joined(facts.name(key) for key in touched)}",
                ),
            )


def _at(sight: Sight, facts: Facts, key: str) -> bool:
    return sight.quantizes_at(key, facts.name(key))
