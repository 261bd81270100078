"""What a program's observers say of its tensors, held against what they have seen and against what was made of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from qatrix.diagnoses import Parameters
from qatrix.digits import digits_apart
from qatrix.judge.diagnosis.parameters import Measured
from qatrix.judge.wording import specifications as words
from qatrix.text import counted

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
# Scales pass through float32 unchanged.
_ROUNDED: Final = 2.0**-22
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


def observes_extremes(module: object) -> bool:
    """Whether the first range of a fake quantize or an observer is what it has seen."""
    return type(getattr(module, "activation_post_process", module)).__name__ in _OF_EXTREMES


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
        yield "scale", words.OBSERVER_SCALE(found=found, expected=expected)
    elif not _is_symmetric(known):
        off = ~_fits_zero(known, zero_point, scale, seen)
        if bool(off.any()):
            yield "zero point", words.OBSERVER_ZERO_POINT(found=int(zero_point[off][0]))


def weight_faults(said: Measured | None, made: Measured, seen: Range) -> Iterator[tuple[str, str]]:
    """How a converted weight's scale is neither what was observed before nor what its own range gives.

    Some pipelines observe a weight once more when they convert it, and go a part of the way to its range.
    """
    known = (said or made).parameters
    allowed = [*scales_of(known, seen)]
    if made.scale is None or not allowed:
        return
    if allowed[0].shape != made.scale.shape:
        yield "axis", words.CHANNELS(scales=_count(made), channels=counted(allowed[0].numel(), "channel"))
        return
    allowed += [one for one in _observed(said) if one.shape == made.scale.shape]
    before = None if said is None else _seen(said)
    if said is not None and before is not None and said.averaging is not None and before.low.shape == seen.low.shape:
        part = said.averaging
        low, high = (old + part * (new - old) for old, new in ((before.low, seen.low), (before.high, seen.high)))
        allowed += scales_of(known, Range(low=low, high=high))
    off = torch.stack([(made.scale - one).abs() > _RELATIVE * one for one in allowed]).all(0)
    if bool(off.any()):
        found, expected = _apart(float(made.scale[off][0]), float(allowed[0][off][0]))
        yield "scale", words.SCALE_OF_RANGE(found=found, expected=expected)
    if _is_symmetric(known) and made.zero_point is not None:
        off = (made.zero_point - _middle(known)).abs() > _HALF
        if bool(off.any()):
            yield "zero point", words.ZERO_POINT_OF_SYMMETRIC(found=int(made.zero_point[off][0]))


def _observed(said: Measured | None) -> tuple[Tensor, ...]:
    """The scales that convert may make of what an observer has seen: the one that it gives, and its range's."""
    if said is None or said.scale is None:
        return ()
    seen = _seen(said)
    return (said.scale, *(() if seen is None else scales_of(said.parameters, seen)))


def _seen(said: Measured) -> Range | None:
    if said.low is None or said.high is None or said.scale is None or said.low.shape != said.scale.shape:
        return None
    # A histogram's observer searches for a range inside of what it has seen.
    return Range(low=said.low, high=said.high) if said.parameters.observer in _OF_EXTREMES else None


def _is_symmetric(parameters: Parameters) -> bool:
    return "symmetric" in (parameters.qscheme or "")


def _middle(parameters: Parameters) -> float:
    """The integer of zero in a symmetric range: that of signed integers is 0 whatever their range."""
    if parameters.quant_min is None or parameters.quant_max is None or "uint" not in (parameters.dtype or ""):
        return 0
    return (parameters.quant_min + parameters.quant_max) / 2


@dataclass(frozen=True)
class Integers:
    """A dtype, and the least and the greatest of its integers that are used; None where a quantizer leaves it open."""

    dtype: str | None
    quant_min: int | None
    quant_max: int | None

    def allows(self, parameters: Parameters) -> bool:
        """Whether parameters are of this dtype and range."""
        return (
            self.dtype in {None, parameters.dtype}
            and self.quant_min in {None, parameters.quant_min}
            and self.quant_max in {None, parameters.quant_max}
        )


def unspecified(measured: Mapping[str, Measured], allowed: Collection[Integers]) -> Iterator[tuple[str, str, str]]:
    """(tensor, quantity, sentence) for each tensor whose integers its quantizer has for no tensor.

    An op with a known range, such as a sigmoid, has fixed parameters of its own, and a derived bias its own integers.
    """
    for tensor, item in measured.items():
        known = item.parameters
        if "Fixed" in f"{known.type}{known.observer}" or tensor.endswith(".bias") or not allowed:
            continue
        if known.quant_min is not None and not any(one.allows(known) for one in allowed):
            given = words.INTEGERS(dtype=known.dtype, low=known.quant_min, high=known.quant_max)
            yield tensor, "range", words.RANGE_NOT_ALLOWED(integers=given)


@dataclass(frozen=True, kw_only=True)
class Specified:
    """What the observers of a prepared program say of each tensor, once the program has run and trained.

    `depths` tells how often each tensor is observed in a row; `computed` are the tensors that are computed from a
    layer's value and are none themselves.
    """

    tensors: Mapping[str, Measured]
    depths: Mapping[str, int] = field(default_factory=dict)
    computed: frozenset[str] = frozenset()

    def faults(self, converted: Specified) -> Iterator[tuple[str, str, str]]:
        """(tensor, quantity, sentence) for each tensor that is not quantized as observed, in the order of the graph.

        The scales of weights are left to `weight_faults`.
        """
        yield from self._repeated(converted.depths)
        left = {tensor: said for tensor, said in self.tensors.items() if tensor not in converted.tensors}
        for tensor, made in converted.tensors.items():
            said = self.tensors.get(tensor)
            if said is not None:
                yield from ((tensor, *fault) for fault in _changes(tensor, said, made))
                continue
            # What lost its layer when the program was rewritten has another name, and the same parameters.
            known = {} if tensor in converted.computed else left
            renamed = next((name for name, other in known.items() if not list(_changes(tensor, other, made))), None)
            if renamed is not None:
                del left[renamed]
            else:
                yield tensor, "quantization", words.NOT_OBSERVED()
        for tensor in left:
            yield tensor, "quantization", words.LEFT_IN_FLOAT()

    def _repeated(self, depths: Mapping[str, int]) -> Iterator[tuple[str, str, str]]:
        """The tensors that are quantized in a row, and more often than they were observed."""
        for tensor, depth in depths.items():
            if depth > max(1, self.depths.get(tensor, 1)):
                yield tensor, "quantization", words.IN_A_ROW(times=depth)


def _changes(tensor: str, said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    yield from _settings(said, made)
    if not tensor.endswith(".weight"):
        yield from _scales(said, made)
        yield from _zero_points(said, made)


def _settings(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    for name in _SETTINGS:
        wanted, found = getattr(said.parameters, name), getattr(made.parameters, name)
        if wanted is not None and found is not None and wanted != found:
            yield _QUANTITIES[name], words.SETTING(setting=_WORDS[name], found=found, expected=wanted)


def _scales(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    if said.scale is None or made.scale is None or not bool(said.scale.isfinite().all()):
        return
    if said.scale.shape != made.scale.shape:
        were = "was" if said.scale.numel() == 1 else "were"
        yield "axis", words.OBSERVED_SCALES(scales=_count(made), observed=_count(said), were=were)
        return
    off = torch.stack([(made.scale - one).abs() > _ROUNDED * one for one in _observed(said)]).all(0)
    if bool(off.any()):
        found, wanted = _apart(float(made.scale[off][0]), float(said.scale[off][0]))
        yield "scale", words.SCALE(found=found, expected=wanted)


def _zero_points(said: Measured, made: Measured) -> Iterator[tuple[str, str]]:
    if said.scale is None or said.zero_point is None or made.zero_point is None or made.scale is None:
        return
    if said.zero_point.shape != made.zero_point.shape or not bool(said.scale.isfinite().all()):
        return
    off = said.zero_point != made.zero_point
    seen = _seen(said)
    if seen is not None:
        # Two formulas may round what lies between two integers to either.
        off &= ~_fits_zero(said.parameters, made.zero_point, made.scale, seen)
    if bool(off.any()):
        found, wanted = int(made.zero_point[off][0]), int(said.zero_point[off][0])
        yield "zero point", words.ZERO_POINT(found=found, expected=wanted)


def _fits_zero(parameters: Parameters, zero_point: Tensor, scale: Tensor, seen: Range) -> Tensor:
    """Whether a zero point is that of a range: the integer of zero, from either end."""
    if parameters.quant_min is None or parameters.quant_max is None:
        return torch.ones_like(zero_point, dtype=torch.bool)
    if _is_symmetric(parameters):
        return (zero_point - _middle(parameters)).abs() <= _HALF
    low, high = seen.low.clamp(max=0), seen.high.clamp(min=0)
    # The kernel stretches a range that is too small for its scale, and so has the zero point of the smaller scale.
    own = (high - low) / (parameters.quant_max - parameters.quant_min)
    steps = [scale, own.clamp(min=torch.finfo(torch.float64).tiny)] if parameters.type == _OF_KERNEL else [scale]
    ends = [one for step in steps for one in (parameters.quant_min - low / step, parameters.quant_max - high / step)]
    near = [(zero_point - end.clamp(parameters.quant_min, parameters.quant_max)).abs() <= _HALF for end in ends]
    return torch.stack(near).any(0)


_QUANTITIES: Final = {"dtype": "dtype", "quant_min": "range", "quant_max": "range", "ch_axis": "axis"}
_WORDS: Final = {
    "dtype": "dtype",
    "quant_min": "range's least integer",
    "quant_max": "range's greatest integer",
    "ch_axis": "axis of channels",
}


def _count(measured: Measured) -> str:
    return counted(0 if measured.scale is None else measured.scale.numel(), "scale")


def _apart(found: float, wanted: float) -> tuple[str, str]:
    digits = digits_apart((found, wanted))
    return f"{found:.{digits}g}", f"{wanted:.{digits}g}"
