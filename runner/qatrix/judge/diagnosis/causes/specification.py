"""Tensors that both programs quantize, with other parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch

from qatrix.diagnoses import ParameterRow, Parameters
from qatrix.digits import digits_apart
from qatrix.judge.diagnosis.causes.facts import Facts, Found, found, joined
from qatrix.judge.diagnosis.layout import Site
from qatrix.judge.diagnosis.parameters import Measured
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.wording import causes as words

# What makes another function of the same numbers; what finds the numbers; what bounds them.
_FUNCTION: Final = frozenset({"dtype", "quant_min", "quant_max"})
_FINDING: Final = frozenset({"type", "observer", "qscheme", "ch_axis", "channels"})


def shared_parameters(facts: Facts) -> Iterator[Found]:
    """A layer's output has the quantization parameters of its input in one program, and its own in the other."""
    told = set()
    for at, sight, other in facts.views():
        for site in facts.layout.sites.values():
            owners = [key for key in site.inputs if _shares(sight, key, site.key)]
            if not owners or site.key in told or any(_alike(other, key, site.key) for key in site.inputs):
                continue
            changed = [key for key in (*owners, site.key) if _parts(sight, other, key)]
            if not changed:
                continue
            told.add(site.key)
            source, name = joined(map(facts.name, owners)), site.name
            inputs = "input" if len(owners) == 1 else "inputs"
            digits = digits_apart((_scale(sight, site.key), _scale(other, site.key)), fewest=6)
            shared = _parameters(sight, site.key, digits)
            yield found(
                "shared_parameters",
                "by_design",
                words.SHARED_PARAMETERS(pipeline=sight.pipeline, layer=name, inputs=inputs, sources=source),
                layer=name,
                pipeline=sight.pipeline,
                quantized=[facts.name(key) for key in changed],
                evidence=(
                    words.PARAMETERS_SHARED(
                        pipeline=sight.pipeline, at=at, sources=source, layer=name, parameters=shared
                    ),
                    words.PARAMETERS_OWN(
                        other=other.pipeline, at=at, layer=name, parameters=_parameters(other, site.key, digits)
                    ),
                    *_clamped(facts, site),
                ),
            )


def _parts(sight: Sight, other: Sight, key: str) -> bool:
    """Whether both programs quantize a value, with other parameters."""
    one, twin = sight.tensors.get(_tensor(sight, key)), other.tensors.get(_tensor(other, key))
    if one is None or twin is None or one.scale is None or twin.scale is None:
        return False
    return not _equal(one, twin)


def _shares(sight: Sight, source: str, key: str) -> bool:
    """Whether one observer serves both."""
    first, second = sight.tensors.get(_tensor(sight, source)), sight.tensors.get(_tensor(sight, key))
    return first is not None and second is not None and first.shared is not None and first.shared == second.shared


def _alike(sight: Sight, source: str, key: str) -> bool:
    """Whether one observer serves both, or two have come to the same parameters."""
    first, second = sight.tensors.get(_tensor(sight, source)), sight.tensors.get(_tensor(sight, key))
    return first is not None and second is not None and _equal(first, second)


def _equal(one: Measured, other: Measured) -> bool:
    """Whether two tensors have the same scale and zero point, and both are known."""
    if one.scale is None or other.scale is None or one.zero_point is None or other.zero_point is None:
        return False
    return torch.equal(one.scale, other.scale) and torch.equal(one.zero_point, other.zero_point)


def _tensor(sight: Sight, key: str) -> str:
    item = sight.placement.quantized.get(key)
    return item.tensor if item is not None else ""


def _scale(sight: Sight, key: str) -> float | None:
    measured = sight.tensors.get(_tensor(sight, key))
    return None if measured is None else measured.parameters.scale_min


def _parameters(sight: Sight, key: str, digits: int) -> str:
    measured, scale = sight.tensors.get(_tensor(sight, key)), _scale(sight, key)
    if measured is None or scale is None:
        return words.NO_PARAMETERS()
    return words.PARAMETERS(scale=f"{scale:.{digits}g}", zero_point=measured.parameters.zero_point_min)


def _clamped(facts: Facts, site: Site) -> Iterator[str]:
    """How many codes each program has at an end of its range."""
    for sight in facts.sights.get("convert", ()):
        codes, measured = sight.codes(site.key), sight.tensors.get(site.name)
        if measured is None or codes is None:
            continue
        ends = (measured.parameters.quant_min, measured.parameters.quant_max)
        clamped = sum(int((codes == end).sum()) for end in ends if end is not None)
        yield words.CLAMPED(pipeline=sight.pipeline, clamped=clamped, total=codes.numel(), layer=site.name)


def different_specification(facts: Facts) -> Iterator[Found]:
    """The pipelines quantize the same tensors by different observers, ranges, schemes or dtypes, and it shows."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for tensor, rows in _rows(facts).items():
        told = next((told for at, row in rows if (told := _told(facts, tensor, rows, (at, row)))), ())
        if told:
            groups.setdefault(told, []).append(tensor)
    sites = {site.name for site in facts.layout.sites.values()}
    for evidence, tensors in groups.items():
        sentence = words.ALL_CONFIGURED_DIFFERENTLY if len(tensors) > 1 else words.CONFIGURED_DIFFERENTLY
        yield found(
            "different_specification",
            "by_design",
            sentence(tensor=tensors[0], more=len(tensors) - 1),
            layer=tensors[0] if tensors[0] in sites else tensors[0].rpartition(".")[0],
            pipeline=None,
            computed=[tensor.rpartition(".")[0] for tensor in tensors if tensor not in sites],
            quantized=[tensor for tensor in tensors if tensor in sites],
            evidence=evidence,
        )


def _rows(facts: Facts) -> dict[str, list[tuple[str, ParameterRow]]]:
    """The tensors that both programs quantize, with their rows at each point."""
    found: dict[str, list[tuple[str, ParameterRow]]] = {}
    for at, point in facts.points.items():
        for row in point.parameters:
            if row.left is not None and row.right is not None:
                found.setdefault(row.tensor, []).append((at, row))
    return found


def _told(
    facts: Facts, tensor: str, rows: list[tuple[str, ParameterRow]], where: tuple[str, ParameterRow]
) -> tuple[str, ...]:
    """The settings that differ at a point and have come to matter, in words."""
    at, row = where
    left, right = row.left, row.right
    if left is None or right is None:
        return ()
    moved = any({"scale", "zero_point", "channels"} & set(other.differing) for _, other in rows)
    matters = {
        **dict.fromkeys(_FUNCTION, moved or _other_codes(facts, tensor)),
        **dict.fromkeys(_FINDING, moved),
        "eps": moved and (_bounded(left) or _bounded(right)),
    }
    return tuple(
        words.SETTING_DIFFERS(
            setting=name,
            at=at,
            left=facts.names[0],
            left_value=getattr(left, name),
            right=facts.names[1],
            right_value=getattr(right, name),
        )
        for name in row.differing
        if matters.get(name)
    )


def _other_codes(facts: Facts, tensor: str) -> bool:
    """Whether the integers of a tensor differ, or there is no saying."""
    rows = [row for point in facts.points.values() for row in point.codes if row.tensor == tensor]
    return not rows or any(row.different for row in rows)


def _bounded(parameters: Parameters) -> bool:
    """Whether eps is what a scale is, because it would be less without."""
    scale, eps = parameters.scale_min, parameters.eps
    return scale is not None and eps is not None and (scale <= eps or math.isclose(scale, eps, rel_tol=1e-6))
