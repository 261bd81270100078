"""What a program's observers say of its tensors, held against what they have seen and against what was made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from qatrix.diagnoses import Parameters
from qatrix.digits import digits_apart
from qatrix.judge.diagnosis.parameters import Measured

# Observers whose first range is the least and the greatest value that they have seen.
_OF_EXTREMES: Final = frozenset(
    {
        "MinMaxObserver",
        "MovingAverageMinMaxObserver",
        "PerChannelMinMaxObserver",
        "MovingAveragePerChannelMinMaxObserver",
    }
)
# Scales are computed in float32.
_RELATIVE: Final = 1e-4
# How far the zero point may lie from what the scale gives before it is rounded.
_HALF: Final = 0.5 + 1e-3
# Below it ATen's kernel takes no scale: SMALL_SCALE_THRESHOLD in ATen/native/quantized/cpu/QuantUtils.h.
_SMALLEST: Final = 6.1e-5
# Which fake quantizes compute their scale in that kernel.
_OF_KERNEL: Final = "FusedMovingAvgObsFakeQuantize"
_SETTINGS: Final = ("dtype", "quant_min", "quant_max", "ch_axis")


@dataclass(frozen=True, kw_only=True)
class Range:
    """The least and the greatest value per channel, or of all, in float64."""

    low: Tensor
    high: Tensor

    @staticmethod
    def of(value: Tensor, axis: int | None) -> Range | None:
        """The range of a tensor, None where it holds nothing or something that is not finite."""
        if not value.numel() or not value.isfinite().all():
            return None
        exact = value.detach().double()
        rows = exact.reshape(1, -1) if axis is None else exact.movedim(axis, 0).flatten(1)
        return Range(low=rows.amin(1), high=rows.amax(1))


def scales_of(parameters: Parameters, seen: Range) -> tuple[Tensor, ...]:
    """The scales that a range may have, in float64: torch has two formulas, which differ for symmetric ranges.

    That of observers, UniformQuantizationObserverBase in torch/ao/quantization/observer.py, has as many steps on
    either side; that of the kernel of fused fake quantizes, ChooseQuantizationParams in
    ATen/native/quantized/cpu/QuantUtils.h, has one step more below zero, and is symmetric only where values have both
    signs. Convert uses the first even where the second was trained with.
    """
    if parameters.quant_min is None or parameters.quant_max is None:
        return ()
    steps = parameters.quant_max - parameters.quant_min
    low, high = seen.low.clamp(max=0), seen.high.clamp(min=0)
    symmetric = _is_symmetric(parameters)
    width = 2 * torch.maximum(-low, high) if symmetric else high - low
    smallest = torch.finfo(torch.float32).eps if parameters.eps is None else parameters.eps
    observed = (width / steps).clamp(min=smallest)
    if parameters.type not in {_OF_KERNEL, None}:
        return (observed,)
    half = steps // 2
    both = (low < 0) & (high > 0) & torch.tensor(symmetric)
    step = torch.maximum(-low / (half + 1), high / half)
    fused = torch.where(both, step * (2 * half + 1), high - low) / steps
    return observed, torch.where(fused == 0, 0.1, fused).clamp(min=_SMALLEST)


def observed_faults(measured: Measured, seen: Range) -> Iterator[tuple[str, str]]:
    """The parameters, as (quantity, sentence), that an observer gives otherwise than by what it has seen first."""
    known, scale, zero_point = measured.parameters, measured.scale, measured.zero_point
    allowed = scales_of(known, seen)
    if known.observer not in _OF_EXTREMES or not allowed or scale is None or zero_point is None:
        return
    if allowed[0].shape != scale.shape or not bool(scale.isfinite().all()):
        return
    off = torch.stack([(scale - one).abs() > _RELATIVE * one for one in allowed]).all(0)
    if bool(off.any()):
        found, expected = _apart(float(scale[off][0]), float(allowed[0][off][0]))
        yield "scale", f"its observer gives a scale of {found} for values whose range gives {expected}"
    elif not _is_symmetric(known) and known.quant_min is not None and known.quant_max is not None:
        exact = (known.quant_min - seen.low.clamp(max=0) / scale).clamp(known.quant_min, known.quant_max)
        other = (known.quant_max - seen.high.clamp(min=0) / scale).clamp(known.quant_min, known.quant_max)
        off = ((zero_point - exact).abs() > _HALF) & ((zero_point - other).abs() > _HALF)
        if bool(off.any()):
            found_zero, wanted = int(zero_point[off][0]), round(float(exact[off][0]))
            yield "zero point", f"its observer gives a zero point of {found_zero} for values whose range gives {wanted}"


def weight_faults(said: Measured | None, made: Measured, seen: Range) -> Iterator[tuple[str, str]]:
    """How a converted weight's scale is neither what was observed before nor what its own range gives, nor between.

    Some pipelines observe a weight once more when they convert it, and average both.
    """
    known = (said or made).parameters
    allowed = [*scales_of(known, seen)]
    if made.scale is None or not allowed or allowed[0].shape != made.scale.shape:
        return
    own = allowed[0]
    if said is not None and said.scale is not None and said.scale.shape == own.shape:
        allowed += _converted(known, said.scale, seen)
    bounds = torch.stack(allowed)
    off = (made.scale < bounds.amin(0) * (1 - _RELATIVE)) | (made.scale > bounds.amax(0) * (1 + _RELATIVE))
    if bool(off.any()):
        found, expected = _apart(float(made.scale[off][0]), float(own[off][0]))
        yield "scale", f"its scale is {found}, and its range gives {expected}"
    if _is_symmetric(known) and made.zero_point is not None:
        off = (made.zero_point - _middle(known)).abs() > _HALF
        if bool(off.any()):
            yield "zero point", f"its zero point is {int(made.zero_point[off][0])}, and its range is symmetric"


def _converted(parameters: Parameters, scale: Tensor, seen: Range) -> list[Tensor]:
    """What convert may make of a scale that was trained with, by torch's other formula: `scales_of`."""
    if parameters.type != _OF_KERNEL or not _is_symmetric(parameters):
        return [scale]
    half = ((parameters.quant_max or 0) - (parameters.quant_min or 0)) // 2
    one_sign = (seen.low >= 0) | (seen.high <= 0)
    return [scale * (1 - 1 / half), scale * (1 + 1 / half) * torch.where(one_sign, 2.0, 1.0)]


def _is_symmetric(parameters: Parameters) -> bool:
    return "symmetric" in (parameters.qscheme or "")


def _middle(parameters: Parameters) -> float:
    """The integer of zero in a symmetric range: that of signed integers is 0 whatever their range."""
    if parameters.quant_min is None or parameters.quant_max is None or "uint" not in (parameters.dtype or ""):
        return 0
    return (parameters.quant_min + parameters.quant_max) / 2


@dataclass(frozen=True, kw_only=True)
class Specified:
    """What the observers of a prepared program say of each tensor, once the program has run and trained."""

    tensors: Mapping[str, Measured]

    def faults(self, converted: Mapping[str, Measured]) -> Iterator[tuple[str, str, str]]:
        """(tensor, quantity, sentence) for each tensor that is not quantized as observed, in the order of the graph.

        The scales of weights are left to `weight_faults`.
        """
        for tensor, made in converted.items():
            said = self.tensors.get(tensor)
            if said is None:
                yield tensor, "quantization", "it is quantized, and nothing has observed it"
                continue
            yield from ((tensor, *fault) for fault in _settings(said, made))
            if not tensor.endswith(".weight"):
                yield from ((tensor, *fault) for fault in _scales(said, made))
                yield from ((tensor, *fault) for fault in _zero_points(said, made))
        for tensor in self.tensors:
            if tensor not in converted:
                yield tensor, "quantization", "it was observed, and is left in float"


def _settings(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    for name in _SETTINGS:
        wanted, found = getattr(said.parameters, name), getattr(made.parameters, name)
        if wanted is not None and found is not None and wanted != found:
            yield _QUANTITIES[name], f"its {_WORDS[name]} is {found}, and {wanted} was specified"


def _scales(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    if said.scale is None or made.scale is None or not bool(said.scale.isfinite().all()):
        return
    if said.scale.shape != made.scale.shape:
        yield "axis", f"it has {_count(made)}, and {_count(said)} were observed"
    elif bool(((said.scale - made.scale).abs() > torch.finfo(torch.float32).eps * said.scale).any()):
        worst = int(((said.scale - made.scale).abs() / said.scale).argmax())
        found, wanted = _apart(float(made.scale[worst]), float(said.scale[worst]))
        yield "scale", f"its scale is {found}, and {wanted} was observed"


def _zero_points(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    if said.zero_point is None or made.zero_point is None or said.zero_point.shape != made.zero_point.shape:
        return
    if said.scale is None or not bool(said.scale.isfinite().all()):
        return
    if bool((said.zero_point != made.zero_point).any()):
        worst = int((said.zero_point - made.zero_point).abs().argmax())
        found, wanted = int(made.zero_point[worst]), int(said.zero_point[worst])
        yield "zero point", f"its zero point is {found}, and {wanted} was observed"


_QUANTITIES: Final = {"dtype": "dtype", "quant_min": "range", "quant_max": "range", "ch_axis": "axis"}
_WORDS: Final = {
    "dtype": "dtype",
    "quant_min": "least integer",
    "quant_max": "greatest integer",
    "ch_axis": "axis of channels",
}


def _count(measured: Measured) -> str:
    count = 0 if measured.scale is None else measured.scale.numel()
    return "1 scale" if count == 1 else f"{count} scales"


def _apart(found: float, wanted: float) -> tuple[str, str]:
    digits = digits_apart((found, wanted))
    return f"{found:.{digits}g}", f"{wanted:.{digits}g}"
