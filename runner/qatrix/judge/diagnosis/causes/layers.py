"""Layers that a program computes in another way than the float model says."""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.judge.diagnosis.causes.facts import Facts, Found, found, joined
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.wording import causes as words


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
                words.PADDING_MODE_IGNORED(pipeline=sight.pipeline, layer=site.name, mode=mode),
                layer=site.name,
                pipeline=sight.pipeline,
                computed=facts.compound(site, sight),
                evidence=(
                    words.PADDING_MODE(layer=site.name, mode=mode),
                    words.PADDING_MODE_NOT_READ(pipeline=sight.pipeline, at=at, module=module),
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
                words.LEFT_RANDOM(pipeline=sight.pipeline, layer=site.name, op=site.op),
                layer=site.name,
                pipeline=sight.pipeline,
                computed=(site.name,),
                quantized=(site.name,),
                evidence=(
                    words.STILL_TRAINING(pipeline=sight.pipeline, at=at, node=label),
                    words.NOTHING_RANDOM(other=other.pipeline, at=at),
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
                words.NESTED_GRAPH(pipeline=sight.pipeline, layers=joined(names), op=op),
                layer=names[0],
                pipeline=sight.pipeline,
                computed=names,
                quantized=names,
                evidence=(
                    words.SUBGRAPH_RUNS(pipeline=sight.pipeline, at=at, op=op, layers=joined(names)),
                    words.QUANTIZES(other=other.pipeline, at=at, layers=joined(facts.name(key) for key in touched)),
                ),
            )


def _at(sight: Sight, facts: Facts, key: str) -> bool:
    return sight.quantizes_at(key, facts.name(key))
