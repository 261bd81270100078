"""Tensors that one program quantizes and the other does not, or in another way."""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.judge.diagnosis.causes.facts import Facts, Found, alone, found, joined
from qatrix.judge.diagnosis.causes.fusing import chains_between
from qatrix.judge.diagnosis.layout import Site
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.wording import causes as words
from qatrix.text import counted


def left_unquantized(facts: Facts) -> Iterator[Found]:
    """One program computes a layer in float, or a part of it, whose inputs, weight or output the other quantizes."""
    told: set[tuple[str, str]] = set()
    for at, sight, other in facts.views():
        chains = chains_between(facts, sight, other)
        between = {site for key, chain in chains.items() for site in (key, *(member.key for member in chain))}
        for site in facts.layout.sites.values():
            if site.key in other.placement.nested or _is_gone(site, other):
                continue
            inside = _inside_alone(facts, site, sight, other)
            output = site.key not in between and site.kind != "input" and alone(site.key, sight, other)
            members = facts.compound(site, sight)
            if not (inside or output) or (members[0], other.pipeline) in told:
                continue
            told.add((members[0], other.pipeline))
            what = [*inside, *(["its output"] if output else [])]
            yield found(
                "left_unquantized",
                "one_pipeline",
                _left(facts, site, (sight, other), what),
                layer=site.name,
                pipeline=other.pipeline,
                computed=members if inside else (),
                quantized=members,
                evidence=(
                    words.QUANTIZES_MORE(pipeline=sight.pipeline, other=other.pipeline, at=at, parts=", ".join(what)),
                ),
            )


def _left(facts: Facts, site: Site, sights: tuple[Sight, Sight], what: list[str]) -> str:
    """In float as a whole, or in the parts that the other program quantizes alone."""
    sight, other = sights
    before = any(key in other.placement.quantized for key in site.inputs)
    members = {key for key in facts.layout.sites if facts.name(key) in facts.compound(site, other)}
    if not before and not any(other.quantizes_at(key, facts.name(key)) for key in members):
        return words.LEFT_IN_FLOAT(pipeline=sight.pipeline, other=other.pipeline, layer=site.name, op=site.op)
    parts = joined(part.replace("its ", "the ").replace(f"{site.name}.", "the ") for part in what)
    return words.PART_LEFT_IN_FLOAT(
        pipeline=sight.pipeline, other=other.pipeline, parts=parts, layer=site.name, op=site.op
    )


def _is_gone(site: Site, sight: Sight) -> bool:
    """Whether a program has no trace of a layer: neither a value of its own nor a place in a chain."""
    fused = {key for last, merged in sight.placement.fused.items() for key in (last, *merged)}
    return site.kind != "input" and site.key not in {*sight.placement.computed, *fused}


def _inside_alone(facts: Facts, site: Site, sight: Sight, other: Sight) -> list[str]:
    """The weight, and the inputs of the model, that only the first program quantizes for a layer.

    Nothing where the second quantizes the same in another place: after padding, or after the
    weight is scaled.
    """
    if _operands_alone(site, other, sight) or _inputs_alone(facts, site, other, sight):
        return []
    elsewhere = any(key in other.placement.quantized for key in site.inputs)
    operands = _operands_alone(site, sight, other)
    return [
        *_inputs_alone(facts, site, sight, other),
        *(name for name in operands if not (elsewhere and name == f"{site.name}.input")),
    ]


def _inputs_alone(facts: Facts, site: Site, sight: Sight, other: Sight) -> list[str]:
    inputs = [key for key in site.inputs if facts.layout.sites[key].kind == "input"]
    return [f"its input {facts.name(key)}" for key in inputs if alone(key, sight, other)]


def _operands_alone(site: Site, sight: Sight, other: Sight) -> list[str]:
    """What a layer reads besides the values of other layers, and only the first program quantizes."""
    names = (f"{site.name}.weight", f"{site.name}.input")
    return [name for name in names if name in sight.tensors and name not in other.tensors]


def read_unquantized(facts: Facts) -> Iterator[Found]:
    """A layer reads a value as it is in one program, which quantizes it for others, and quantized in the other."""
    told = set()
    for at, sight, other in facts.views():
        for site in facts.layout.sites.values():
            raw = [key for key in site.inputs if _reads_raw(facts, sight, site, key)]
            raw = [key for key in raw if other.quantizes_at(key, "") and not _reads_raw(facts, other, site, key)]
            if not raw or site.key in told or _is_gone(site, other):
                continue
            told.add(site.key)
            sources = joined(facts.name(key) for key in raw)
            yield found(
                "read_unquantized",
                "one_pipeline",
                words.READ_UNQUANTIZED(
                    pipeline=sight.pipeline, other=other.pipeline, layer=site.name, op=site.op, sources=sources
                ),
                layer=site.name,
                pipeline=sight.pipeline,
                computed={*facts.compound(site, sight), *facts.compound(site, other)},
                evidence=(
                    words.QUANTIZED_FOR_OTHERS(pipeline=sight.pipeline, at=at, sources=sources, layer=site.name),
                    words.READS_QUANTIZED(other=other.pipeline, at=at, layer=site.name),
                ),
            )


def _reads_raw(facts: Facts, sight: Sight, site: Site, source: str) -> bool:
    """Whether a program quantizes a value, and computes a layer, or what it is fused into, from it as it is."""
    names = facts.compound(site, sight)
    members = [key for key in facts.layout.sites if facts.name(key) in names]
    return any((source, key) in sight.raw_reads for key in members)


def quantized_again(facts: Facts) -> Iterator[Found]:
    """One program quantizes a tensor more often in a row than the other."""
    told = set()
    for at, sight, other in facts.views():
        more, fewer = _rounds(sight), _rounds(other)
        for tensor, count in more.items():
            if count < 2 or not 0 < fewer.get(tensor, 0) < count or tensor in told:  # noqa: PLR2004 - once is not again
                continue
            told.add(tensor)
            site = tensor in {site.name for site in facts.layout.sites.values()}
            layer = tensor if site else tensor.rpartition(".")[0]
            yield found(
                "quantized_again",
                "one_pipeline",
                words.QUANTIZED_AGAIN(
                    pipeline=sight.pipeline,
                    other=other.pipeline,
                    tensor=tensor,
                    count=count,
                    times=_times(fewer[tensor]),
                ),
                layer=layer,
                pipeline=sight.pipeline,
                computed=() if site else (layer,),
                quantized=(layer,) if site else (),
                evidence=(
                    words.IN_A_ROW(pipeline=sight.pipeline, at=at, quantizations=counted(count, "quantization")),
                    words.IN_A_ROW(
                        pipeline=other.pipeline, at=at, quantizations=counted(fewer[tensor], "quantization")
                    ),
                ),
            )


def _times(count: int) -> str:
    return words.ONCE() if count == 1 else words.TIMES(count=count)


def _rounds(sight: Sight) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in sight.placement.quantizing:
        found[item.tensor] = max(item.rounds, found.get(item.tensor, 0))
    return found


def weight_not_trained(facts: Facts) -> Iterator[Found]:
    """One program quantizes a weight only when it is converted, where the other fakes it in training."""
    for at, sight, other in facts.views():
        for name, measured in sight.tensors.items():
            twin = other.tensors.get(name)
            if not measured.deferred or twin is None or not twin.faked or not _converts(facts, sight, name):
                continue
            layer = name.rpartition(".")[0]
            yield found(
                "weight_not_trained",
                "one_pipeline",
                words.WEIGHT_NOT_TRAINED(pipeline=sight.pipeline, layer=layer),
                layer=layer,
                pipeline=sight.pipeline,
                computed=(layer,),
                evidence=(
                    words.NO_FAKE_QUANTIZE(pipeline=sight.pipeline, at=at, layer=layer),
                    words.QUANTIZED_BY(pipeline=other.pipeline, at=at, node=twin.parameters.node),
                ),
            )


def _converts(facts: Facts, sight: Sight, name: str) -> bool:
    """Whether a program quantizes a tensor in the end, as far as it was run."""
    converted = [item for item in facts.sights.get("convert", ()) if item.pipeline == sight.pipeline]
    return all(name in item.tensors for item in converted)


def operand_quantized(facts: Facts) -> Iterator[Found]:
    """One program quantizes a constant or a bias that the other keeps as it is."""
    told = set()
    for at, sight, other in facts.views():
        for name, measured in sight.tensors.items():
            layer, _, operand = name.rpartition(".")
            if measured.site is not None or operand in {"weight", "input"} or name in other.tensors or name in told:
                continue
            told.add(name)
            yield found(
                "operand_quantized",
                "one_pipeline",
                words.OPERAND_QUANTIZED(pipeline=sight.pipeline, other=other.pipeline, tensor=name),
                layer=layer,
                pipeline=sight.pipeline,
                computed=(layer,),
                evidence=(
                    words.QUANTIZED_BY(pipeline=sight.pipeline, at=at, node=measured.parameters.node),
                    words.QUANTIZED_BY_NOTHING(other=other.pipeline, at=at),
                ),
            )
