"""Tensors that one program quantizes and the other does not, or with other parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from qatrix.diagnoses import ParameterRow
from qatrix.judge.diagnosis.causes.facts import Facts, Found, found
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.placement import is_fusable
from qatrix.judge.diagnosis.sight import Sight

_SPECIFICATION: Final = frozenset(
    {"type", "observer", "dtype", "qscheme", "quant_min", "quant_max", "ch_axis", "eps", "channels"}
)


def not_fused(facts: Facts) -> Iterator[Found]:
    """One program quantizes inside a chain of layers that the other computes as one."""
    told: set[str] = set()
    for at, sight, other in facts.views():
        for key in _outputs_alone(facts, sight, other):
            chain = _fused_chain(facts.layout, other, key)
            if not chain or key in told:
                continue
            told.update((key, *(site.key for site in chain)))
            names = [facts.name(key), *(site.name for site in chain)]
            node = sight.labels[sight.placement.quantized[key].node]
            scaled = "momentum" in chain[0].facts
            yield found(
                "not_fused",
                "one_pipeline",
                f"{other.pipeline} quantizes {', '.join(names)} as one, {sight.pipeline} quantizes in between",
                layer=names[0],
                pipeline=sight.pipeline,
                computed=names if scaled else names[1:],
                quantized=names,
                evidence=(
                    f"{sight.pipeline} at {at}: {node} quantizes the output of {names[0]}",
                    f"{other.pipeline} at {at}: nothing is quantized from {names[0]} to {names[-1]}, whose output is",
                    *([f"{other.pipeline} quantizes the weight as {names[1]} scales it"] if scaled else []),
                ),
            )


def _outputs_alone(facts: Facts, sight: Sight, other: Sight) -> list[str]:
    """The layers, not inputs of the model, whose output only the first program quantizes."""
    return [site.key for site in facts.layout.sites.values() if site.kind != "input" and _alone(site.key, sight, other)]


def _alone(key: str, sight: Sight, other: Sight) -> bool:
    return key in sight.placement.quantized and key not in other.placement.quantized


def _fused_chain(layout: Layout, sight: Sight, key: str) -> list[Site]:
    """The batch norm and ReLU after a layer up to the one whose output is quantized; empty where it is not so."""
    chain: list[Site] = []
    while True:
        consumers = layout.consumers(key)
        if len(consumers) != 1 or not is_fusable(consumers[0]):
            return []
        chain.append(consumers[0])
        key = consumers[0].key
        if key in sight.placement.quantized:
            return chain


def left_unquantized(facts: Facts) -> Iterator[Found]:
    """One program computes a layer in float, whose inputs, weight or output the other quantizes."""
    told: set[tuple[str, str]] = set()
    for at, sight, other in facts.views():
        between = {
            site
            for key in _outputs_alone(facts, sight, other)
            if (chain := _fused_chain(facts.layout, other, key))
            for site in (key, *(member.key for member in chain))
        }
        for site in facts.layout.sites.values():
            inside = _inside_alone(facts, site, sight, other)
            output = site.key not in between and site.kind != "input" and _alone(site.key, sight, other)
            members = facts.compound(site, sight)
            if not (inside or output) or (members[0], other.pipeline) in told:
                continue
            told.add((members[0], other.pipeline))
            what = ", ".join([*inside, *(["its output"] if output else [])])
            yield found(
                "left_unquantized",
                "one_pipeline",
                f"{other.pipeline} leaves {site.name}, {site.op}, in float where {sight.pipeline} quantizes it",
                layer=site.name,
                pipeline=other.pipeline,
                computed=members if inside else (),
                quantized=members,
                evidence=(f"{sight.pipeline} at {at} quantizes {what}; {other.pipeline} does not",),
            )


def _inside_alone(facts: Facts, site: Site, sight: Sight, other: Sight) -> list[str]:
    """The weight, and the inputs of the model, that only the first program quantizes for a layer.

    Nothing where the second quantizes the same in another place: after padding, or after the
    weight is scaled.
    """
    if _operands_alone(site, other, sight) or _inputs_alone(facts, site, other, sight):
        return []
    return [*_inputs_alone(facts, site, sight, other), *_operands_alone(site, sight, other)]


def _inputs_alone(facts: Facts, site: Site, sight: Sight, other: Sight) -> list[str]:
    inputs = [key for key in site.inputs if facts.layout.sites[key].kind == "input"]
    return [f"its input {facts.name(key)}" for key in inputs if _alone(key, sight, other)]


def _operands_alone(site: Site, sight: Sight, other: Sight) -> list[str]:
    """What a layer reads besides the values of other layers, and only the first program quantizes."""
    names = (f"{site.name}.weight", f"{site.name}.input")
    return [name for name in names if name in sight.tensors and name not in other.tensors]


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
                f"{sight.pipeline} quantizes {tensor} {count} times in a row, {other.pipeline} {_times(fewer[tensor])}",
                layer=layer,
                pipeline=sight.pipeline,
                computed=() if site else (layer,),
                quantized=(layer,) if site else (),
                evidence=(
                    f"{sight.pipeline} at {at}: {count} quantizations in a row",
                    f"{other.pipeline} at {at}: {fewer[tensor]}",
                ),
            )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


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
            if not measured.deferred or twin is None or not twin.faked:
                continue
            layer = name.rpartition(".")[0]
            yield found(
                "weight_not_trained",
                "one_pipeline",
                f"{sight.pipeline} trains {layer} with its weight in float and quantizes it only when it converts",
                layer=layer,
                pipeline=sight.pipeline,
                computed=(layer,),
                evidence=(
                    f"{sight.pipeline} at {at}: the module of {layer} has no fake quantize for its weight",
                    f"{other.pipeline} at {at}: {twin.parameters.node}",
                ),
            )


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
                f"{sight.pipeline} quantizes {name}, {other.pipeline} keeps it as it is",
                layer=layer,
                pipeline=sight.pipeline,
                computed=(layer,),
                evidence=(
                    f"{sight.pipeline} at {at}: {measured.parameters.node}",
                    f"{other.pipeline} at {at}: nothing",
                ),
            )


def shared_parameters(facts: Facts) -> Iterator[Found]:
    """A layer's output has the quantization parameters of its input in one program, and its own in the other."""
    told = set()
    for at, sight, other in facts.views():
        for site in facts.layout.sites.values():
            owners = [key for key in site.inputs if _shares(sight, key, site.key)]
            if not owners or site.key in told or any(_alike(other, key, site.key) for key in site.inputs):
                continue
            told.add(site.key)
            source, name = facts.name(owners[0]), site.name
            yield found(
                "shared_parameters",
                "by_design",
                f"{sight.pipeline} quantizes the output of {name} with the parameters of its input {source}",
                layer=name,
                pipeline=sight.pipeline,
                quantized=(source, name),
                evidence=(
                    f"{sight.pipeline} at {at}: {source} and {name} have in common {_parameters(sight, name)}",
                    f"{other.pipeline} at {at}: {name} has {_parameters(other, name)}",
                    *_clamped(facts, site),
                ),
            )


def _shares(sight: Sight, source: str, key: str) -> bool:
    """Whether one observer serves both."""
    first, second = sight.tensors.get(_tensor(sight, source)), sight.tensors.get(_tensor(sight, key))
    return first is not None and second is not None and first.shared is not None and first.shared == second.shared


def _alike(sight: Sight, source: str, key: str) -> bool:
    """Whether one observer serves both, or two have come to the same parameters."""
    first, second = sight.tensors.get(_tensor(sight, source)), sight.tensors.get(_tensor(sight, key))
    if first is None or second is None or first.scale is None or second.scale is None:
        return False
    if first.zero_point is None or second.zero_point is None:
        return False
    return torch.equal(first.scale, second.scale) and torch.equal(first.zero_point, second.zero_point)


def _tensor(sight: Sight, key: str) -> str:
    item = sight.placement.quantized.get(key)
    return item.tensor if item is not None else ""


def _parameters(sight: Sight, name: str) -> str:
    measured = sight.tensors.get(name)
    if measured is None or measured.parameters.scale_min is None:
        return "no parameters"
    return f"scale {measured.parameters.scale_min:.6g}, zero point {measured.parameters.zero_point_min}"


def _clamped(facts: Facts, site: Site) -> Iterator[str]:
    """How many codes each program has at an end of its range."""
    for sight in facts.sights.get("convert", ()):
        codes, measured = sight.codes(site.key), sight.tensors.get(site.name)
        if measured is None or codes is None:
            continue
        ends = (measured.parameters.quant_min, measured.parameters.quant_max)
        clamped = sum(int((codes == end).sum()) for end in ends if end is not None)
        told = f"{clamped} of {codes.numel()} codes of {site.name} are at an end of the range"
        yield f"{sight.pipeline} at convert: {told}"


def different_specification(facts: Facts) -> Iterator[Found]:
    """The pipelines quantize the same tensors by different observers, ranges, schemes or dtypes."""
    groups: dict[tuple[str, ...], list[str]] = {}
    seen: set[str] = set()
    for at, point in facts.points.items():
        for row in point.parameters:
            told = _specification(row, facts.names, at)
            if told and row.tensor not in seen:
                seen.add(row.tensor)
                groups.setdefault(told, []).append(row.tensor)
    sites = {site.name for site in facts.layout.sites.values()}
    for evidence, tensors in groups.items():
        more = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
        yield found(
            "different_specification",
            "by_design",
            f"the pipelines are configured to quantize {tensors[0]}{more} differently",
            layer=tensors[0] if tensors[0] in sites else tensors[0].rpartition(".")[0],
            pipeline=None,
            computed=[tensor.rpartition(".")[0] for tensor in tensors if tensor not in sites],
            quantized=[tensor for tensor in tensors if tensor in sites],
            evidence=evidence,
        )


def _specification(row: ParameterRow, names: tuple[str, str], at: str) -> tuple[str, ...]:
    if row.left is None or row.right is None:
        return ()
    return tuple(
        f"{name} at {at}: {names[0]} {getattr(row.left, name)}, {names[1]} {getattr(row.right, name)}"
        for name in row.differing
        if name in _SPECIFICATION
    )
