"""The integers of two converted programs: how they differ, and by what."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from qatrix.claims import Tolerance
from qatrix.diagnoses import CodeBin, CodeRow
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.parameters import Measured
from qatrix.judge.diagnosis.sight import Sight

# Differences beyond this many codes are counted together.
_SINGLE_BINS: Final = 8
# How near to the border between two codes a value counts as a tie, in quantization steps; float32
# rounding of value / scale moves a value of 127 steps by less.
_TIE_STEPS: Final = 1e-4


def code_rows(layout: Layout, left: Sight, right: Sight, *, tolerance: Tolerance) -> tuple[CodeRow, ...]:
    """The codes of every tensor that both programs quantize in integers, those that differ first."""
    rows = [*_activations(layout, left, right, tolerance), *_constants(left, right)]
    return tuple(sorted(rows, key=lambda row: row.different == 0))


def _activations(layout: Layout, left: Sight, right: Sight, tolerance: Tolerance) -> Iterator[CodeRow]:
    for site in layout.sites.values():
        one, other = left.codes(site.key), right.codes(site.key)
        if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape:
            values = (left.computed(site.key), right.computed(site.key))
            sides = (left.tensors.get(site.name), right.tensors.get(site.name))
            yield _row(site.name, (one, other), sides, values, tolerance)


def _constants(left: Sight, right: Sight) -> Iterator[CodeRow]:
    for name, measured in left.tensors.items():
        other = right.tensors.get(name)
        if other is None or measured.codes is None or other.codes is None:
            continue
        if measured.codes.shape == other.codes.shape:
            yield _row(name, (measured.codes, other.codes), (measured, other), (None, None), Tolerance())


def _row(
    name: str,
    codes: tuple[Tensor, Tensor],
    sides: tuple[Measured | None, Measured | None],
    values: tuple[object, object],
    tolerance: Tolerance,
) -> CodeRow:
    one, other = (item.detach().cpu().to(torch.int64) for item in codes)
    difference = one - other
    apart = difference != 0
    counts = _causes(apart, (one, other), sides, values, tolerance) if apart.any() else {}
    return CodeRow(
        tensor=name,
        total=one.numel(),
        different=int(apart.sum()),
        max_difference=int(difference.abs().max()) if one.numel() else 0,
        histogram=tuple(_histogram(difference[apart])),
        **counts,
    )


def _histogram(differences: Tensor) -> Iterator[CodeBin]:
    """One bin per small difference, and one at each end for all greater ones."""
    clamped = differences.clamp(-_SINGLE_BINS - 1, _SINGLE_BINS + 1)
    for value in clamped.unique().tolist():
        members = differences[clamped == value]
        yield CodeBin(low=int(members.min()), high=int(members.max()), count=members.numel())


def _causes(
    apart: Tensor,
    codes: tuple[Tensor, Tensor],
    sides: tuple[Measured | None, Measured | None],
    values: tuple[object, object],
    tolerance: Tolerance,
) -> dict[str, int]:
    """How many of the different elements each cause explains."""
    left, right = sides
    if left is None or right is None:
        return {"unexplained": int(apart.sum())}
    same_parameters = _same_parameters(left, right, apart)
    inputs = _different_inputs(values, apart, same_parameters, tolerance)
    rest = apart & ~inputs
    clamped = rest & (_at_end(codes[0], left) ^ _at_end(codes[1], right))
    rest = rest & ~clamped
    parameters = rest & ~same_parameters
    rest = rest & ~parameters
    ties = rest & _near_tie(values[0], left, rest) & ((codes[0] - codes[1]).abs() == 1)
    names = ("from_inputs", "from_clamping", "from_parameters", "from_ties", "unexplained")
    return {name: int(mask.sum()) for name, mask in zip(names, (inputs, clamped, parameters, ties, rest & ~ties))}


def _same_parameters(left: Measured, right: Measured, like: Tensor) -> Tensor:
    """Per element, whether scale and zero point are equal in both programs."""
    pairs = ((left.scale, right.scale), (left.zero_point, right.zero_point))
    same = torch.ones_like(like)
    for one, other in pairs:
        if one is None or other is None or one.shape != other.shape:
            return torch.zeros_like(like)
        same &= _spread(one == other, left, like)
    return same


def _spread(per_channel: Tensor, measured: Measured, like: Tensor) -> Tensor:
    shape = [1] * like.dim()
    if per_channel.numel() > 1:
        shape[measured.parameters.ch_axis or 0] = -1
    return per_channel.reshape(shape).expand_as(like)


def _different_inputs(values: tuple[object, object], apart: Tensor, same: Tensor, tolerance: Tolerance) -> Tensor:
    """Per element, whether the values before quantization differ beyond tolerance.

    Where they are not known (constants are folded into integers), equal parameters leave
    nothing else: quantization is the same function of its input then.
    """
    one, other = values
    if not isinstance(one, Tensor) or not isinstance(other, Tensor) or one.shape != other.shape:
        return apart & same
    one, other = one.to(torch.float64), other.to(torch.float64)
    return apart & ~((one - other).abs() <= tolerance.atol + tolerance.rtol * other.abs())


def _at_end(codes: Tensor, measured: Measured) -> Tensor:
    """Per element, whether a code is at an end of its range."""
    low, high = measured.parameters.quant_min, measured.parameters.quant_max
    return (codes == (codes.min() if low is None else low)) | (codes == (codes.max() if high is None else high))


def _near_tie(value: object, measured: Measured, like: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or measured.scale is None:
        return torch.zeros_like(like)
    steps = value.detach().cpu().to(torch.float64) / _spread(measured.scale, measured, like)
    return (steps - steps.floor() - 0.5).abs() <= _TIE_STEPS * steps.abs().clamp(min=1.0)
