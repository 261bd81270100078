"""Causes by name: each recogniser looks for one, in the facts and in both programs, and shows its evidence."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from qatrix.diagnoses import Cause, Class, Divergence, ParameterRow, PointDiagnosis
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.placement import is_fusable
from qatrix.judge.diagnosis.sight import Norm, Sight

_SPECIFICATION: Final = frozenset(
    {"type", "observer", "dtype", "qscheme", "quant_min", "quant_max", "ch_axis", "channels"}
)


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


@dataclass(frozen=True, kw_only=True)
class Found:
    """A cause, and the names of all layers that it is about."""

    cause: Cause
    layers: frozenset[str]


Recogniser = Callable[[Facts], Iterator[Found]]


def find_causes(facts: Facts) -> tuple[Cause, ...]:
    """The causes that are recognised, those at the first divergence first; else one that is "unexplained".

    Empty where the programs do not differ.
    """
    if facts.first is None:
        return ()
    here = {facts.first.layer, *facts.first.covers}
    found = [item for recogniser in RECOGNISERS for item in recogniser(facts)]
    causes = [replace(item.cause, explains_first=bool(item.layers & here)) for item in found]
    if not any(cause.explains_first for cause in causes):
        causes.append(_unexplained(facts.first))
    return tuple(sorted(causes, key=lambda cause: not cause.explains_first))


def _unexplained(first: Divergence) -> Cause:
    return Cause(
        name="unexplained",
        kind="unexplained",
        sentence=f"nothing that is known explains why {first.layer} differs at {first.at}",
        layer=first.layer,
        evidence=(first.sentence,),
        explains_first=True,
    )


def _norm_setting_replaced(facts: Facts) -> Iterator[Found]:
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
                yield _setting_cause(site, setting, wrong, (at, sight, other), twin)


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


def _setting_cause(
    site: Site, setting: str, wrong: list[str], view: tuple[str, Sight, Sight], twin: Norm | None
) -> Found:
    at, sight, other = view
    evidence = [f"the float model: {site.name} has {setting}={site.facts[setting]:g}"]
    evidence += [f"{sight.pipeline} at {at}: {said}" for said in wrong]
    if twin is not None:
        evidence.append(f"{other.pipeline} at {at}: {setting}={getattr(twin, setting):g}")
    return _found(
        f"batch_norm_{setting}_replaced",
        "defect",
        f"{sight.pipeline} computes {site.name} with a constant {setting} instead of the model's {site.facts[setting]:g}",
        sight.pipeline,
        (site.name,),
        evidence,
    )


def _padding_mode_ignored(facts: Facts) -> Iterator[Found]:
    """A convolution pads with zeros in one program, where the model says otherwise."""
    for at, sight, other in facts.views():
        for key, module in sight.unpadded.items():
            if key in other.unpadded:
                continue
            site = facts.layout.sites[key]
            mode = site.facts["padding_mode"]
            yield _found(
                "padding_mode_ignored",
                "defect",
                f"{sight.pipeline} pads {site.name} with zeros, though the model says padding_mode={mode!r}",
                sight.pipeline,
                _compound(site, sight, facts.layout),
                (
                    f"the float model: {site.name} has padding_mode={mode!r}",
                    f"{sight.pipeline} at {at}: the forward of {module} never reads padding_mode",
                ),
            )


def _not_fused(facts: Facts) -> Iterator[Found]:
    """One program quantizes inside a chain of layers that the other computes as one."""
    told: set[str] = set()
    for at, sight, other in facts.views():
        for key in _one_sided(facts, sight, other):
            chain = _fused_chain(facts.layout, other, key)
            if not chain or key in told:
                continue
            told.update(site.key for site in chain)
            names = [facts.layout.sites[key].name, *(site.name for site in chain)]
            node = sight.labels[sight.placement.quantized[key].node.name]
            yield _found(
                "not_fused",
                "one_pipeline",
                f"{other.pipeline} quantizes {', '.join(names)} as one, {sight.pipeline} quantizes in between",
                sight.pipeline,
                names,
                (
                    f"{sight.pipeline} at {at}: {node} quantizes the output of {names[0]}",
                    f"{other.pipeline} at {at}: nothing is quantized from {names[0]} to {names[-1]}, whose output is",
                ),
            )


def _one_sided(facts: Facts, sight: Sight, other: Sight) -> list[str]:
    """The layers, not inputs of the model, whose output only the first program quantizes."""
    return [
        key
        for key in facts.layout.sites
        if key in sight.placement.quantized
        and key not in other.placement.quantized
        and facts.layout.sites[key].kind != "input"
    ]


def _fused_chain(layout: Layout, sight: Sight, key: str) -> list[Site]:
    """The batch norm and ReLU after a layer up to the one whose output is quantized; empty where that is not the way."""
    chain: list[Site] = []
    while True:
        consumers = layout.consumers(key)
        if len(consumers) != 1 or not is_fusable(consumers[0]):
            return []
        chain.append(consumers[0])
        key = consumers[0].key
        if key in sight.placement.quantized:
            return chain


def _left_unquantized(facts: Facts) -> Iterator[Found]:
    """One program computes a layer in float, whose inputs, weight or output the other quantizes."""
    told: set[tuple[str, str]] = set()
    for at, sight, other in facts.views():
        between = {
            site.key
            for key in _one_sided(facts, sight, other)
            for site in (facts.layout.sites[key], *_fused_chain(facts.layout, other, key))
            if _fused_chain(facts.layout, other, key)
        }
        for site in facts.layout.sites.values():
            quantized = list(_quantized_around(facts, site, sight, other, between))
            if not quantized or (site.key, other.pipeline) in told:
                continue
            members = _compound(site, sight, facts.layout)
            told.update((member, other.pipeline) for member in _keys(facts.layout, members))
            yield _found(
                "left_unquantized",
                "one_pipeline",
                f"{other.pipeline} leaves {site.name}, {site.op}, in float where {sight.pipeline} quantizes it",
                other.pipeline,
                members,
                [f"{sight.pipeline} at {at} quantizes {', '.join(quantized)}; {other.pipeline} does not"],
            )


def _quantized_around(facts: Facts, site: Site, sight: Sight, other: Sight, between: Collection[str]) -> Iterator[str]:
    """What the first program quantizes at a layer, and the second does not."""
    if site.kind == "input":
        return
    inside = any(name.startswith(f"{site.name}.") and not name.endswith((".weight", ".bias")) for name in other.tensors)
    for key in site.inputs:
        if _alone(key, sight, other) and key not in between and facts.layout.sites[key].kind == "input" and not inside:
            yield f"its input {facts.layout.sites[key].name}"
    weight = f"{site.name}.weight"
    if weight in sight.tensors and weight not in other.tensors:
        yield weight
    if _alone(site.key, sight, other) and site.key not in between:
        yield "its output"


def _alone(key: str, sight: Sight, other: Sight) -> bool:
    return key in sight.placement.quantized and key not in other.placement.quantized


def _operand_quantized(facts: Facts) -> Iterator[Found]:
    """One program quantizes a constant or a bias that the other keeps as it is."""
    told = set()
    for at, sight, other in facts.views():
        for name, measured in sight.tensors.items():
            layer, _, operand = name.rpartition(".")
            if measured.site is not None or operand in {"weight", "input"} or name in other.tensors or name in told:
                continue
            told.add(name)
            yield _found(
                "operand_quantized",
                "one_pipeline",
                f"{sight.pipeline} quantizes {name}, {other.pipeline} keeps it as it is",
                sight.pipeline,
                (layer,),
                (f"{sight.pipeline} at {at}: {measured.parameters.node}", f"{other.pipeline} at {at}: nothing"),
            )


def _shared_parameters(facts: Facts) -> Iterator[Found]:
    """A layer's output has the quantization parameters of its input in one program, and its own in the other."""
    told = set()
    for at, sight, other in facts.views():
        for site in facts.layout.sites.values():
            owners = [key for key in site.inputs if _shares(sight, key, site.key)]
            if not owners or any(_shares(other, key, site.key) for key in site.inputs) or site.key in told:
                continue
            told.add(site.key)
            source = facts.layout.sites[owners[0]].name
            yield _found(
                "shared_parameters",
                "by_design",
                f"{sight.pipeline} quantizes the output of {site.name} with the parameters of its input {source}",
                sight.pipeline,
                (site.name,),
                [
                    f"{sight.pipeline} at {at}: {source} and {site.name} have {_parameters(sight, site.name)} in common",
                    f"{other.pipeline} at {at}: {site.name} has {_parameters(other, site.name)}",
                    *_clamped(facts, site),
                ],
            )


def _shares(sight: Sight, source: str, key: str) -> bool:
    """Whether one observer serves both, or both have the same parameters to the bit."""
    one, other = sight.placement.quantized.get(source), sight.placement.quantized.get(key)
    if one is None or other is None:
        return False
    first, second = sight.tensors.get(one.tensor), sight.tensors.get(other.tensor)
    return first is not None and second is not None and first.shared is not None and first.shared == second.shared


def _parameters(sight: Sight, name: str) -> str:
    measured = sight.tensors.get(name)
    if measured is None or measured.parameters.scale_min is None:
        return "no parameters"
    return f"scale {measured.parameters.scale_min:.6g}, zero point {measured.parameters.zero_point_min}"


def _clamped(facts: Facts, site: Site) -> Iterator[str]:
    """How many codes each program has at an end of its range."""
    for name, sight in zip(facts.names, facts.sights.get("convert", ())):
        codes, measured = sight.codes(site.key), sight.tensors.get(site.name)
        if measured is None or not hasattr(codes, "numel"):
            continue
        ends = (measured.parameters.quant_min, measured.parameters.quant_max)
        clamped = sum(int((codes == end).sum()) for end in ends if end is not None)
        yield f"{name} at convert: {clamped} of {codes.numel()} codes of {site.name} are at an end of the range"


def _different_specification(facts: Facts) -> Iterator[Found]:
    """The pipelines quantize the same tensors by different observers, ranges, schemes or dtypes."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for at, point in facts.points.items():
        for row in point.parameters:
            told = _specification(row, facts.names, at)
            if told and not any(row.tensor in tensors for tensors in groups.values()):
                groups.setdefault(told, []).append(row.tensor)
    for told, tensors in groups.items():
        layers = [_layer_of(facts.layout, tensor) for tensor in tensors]
        more = f" and {len(tensors) - 1} more" if len(tensors) > 1 else ""
        yield _found(
            "different_specification",
            "by_design",
            f"the pipelines quantize {tensors[0]}{more} differently by their configuration",
            None,
            layers,
            told,
        )


def _specification(row: ParameterRow, names: tuple[str, str], at: str) -> tuple[str, ...]:
    if row.left is None or row.right is None:
        return ()
    return tuple(
        f"{name} at {at}: {names[0]} {getattr(row.left, name)}, {names[1]} {getattr(row.right, name)}"
        for name in row.differing
        if name in _SPECIFICATION
    )


def _norm_not_folded(facts: Facts) -> Iterator[Found]:
    """One converted program still computes a batch norm that the other folded into the layer before."""
    for at, sight, other in facts.views():
        if at != "convert":
            continue
        for key in sight.norms:
            site = facts.layout.sites[key]
            if key in other.norms or not other.placement.fused.get(key) and not _folded(other, key):
                continue
            probe = sight.placement.computed.get(key)
            node = sight.labels.get(probe.node) if probe else None
            yield _found(
                "batch_norm_not_folded",
                "one_pipeline",
                f"{sight.pipeline} does not fold {site.name} into the layer before it",
                sight.pipeline,
                (site.name, *(facts.layout.sites[source].name for source in site.inputs)),
                (f"{sight.pipeline} at {at}: {node or 'a batch norm'} is left", f"{other.pipeline} at {at}: none is"),
            )


def _folded(sight: Sight, key: str) -> bool:
    return any(key in merged for merged in sight.placement.fused.values())


def _compound(site: Site, sight: Sight, layout: Layout) -> tuple[str, ...]:
    """A layer's name, and those of the layers that a program computes as one with it."""
    for last, merged in sight.placement.fused.items():
        chain = (*merged, last)
        if site.key in chain:
            return tuple(layout.sites[key].name for key in chain)
    return (site.name,)


def _keys(layout: Layout, names: Collection[str]) -> list[str]:
    return [site.key for site in layout.sites.values() if site.name in names]


def _layer_of(layout: Layout, tensor: str) -> str:
    names = {site.name for site in layout.sites.values()}
    return tensor if tensor in names else tensor.rpartition(".")[0]


def _found(
    name: str,
    kind: Class,
    sentence: str,
    pipeline: str | None,
    layers: Sequence[str],
    evidence: Iterable[str],
) -> Found:
    cause = Cause(name=name, kind=kind, sentence=sentence, pipeline=pipeline, layer=layers[0], evidence=tuple(evidence))
    return Found(cause=cause, layers=frozenset(layers))


RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    _norm_setting_replaced,
    _padding_mode_ignored,
    _not_fused,
    _left_unquantized,
    _operand_quantized,
    _shared_parameters,
    _different_specification,
    _norm_not_folded,
)
