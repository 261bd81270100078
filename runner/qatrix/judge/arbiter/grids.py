"""The values that integers stand for, and rounding to them in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import Tensor

from qatrix.judge.diagnosis.parameters import Measured

# Programs divide and round in float32, with 24 bits: a value that is as near as this to the border
# of two integers may go to either, a thousandth of a step where the integers are small.
_BORDER: Final = 1e-3
_RELATIVE: Final = 2.0**-20
# More than float32 tells apart: what programs give for them is not the nearest of anything.
_MOST_INTEGERS: Final = 2**24


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Integers from `quant_min` to `quant_max`, and how they stand for numbers.

    `scale` and `zero_point` are float64 tensors of one element, or of one for each channel along `axis`.
    """

    scale: Tensor
    zero_point: Tensor
    quant_min: int
    quant_max: int
    axis: int | None

    @classmethod
    def of(cls, measured: Measured | None, *, most: int | None = _MOST_INTEGERS) -> Self | None:
        """The grid of a tensor's parameters, None where they are not known, or have more than `most` integers."""
        if measured is None or measured.scale is None or measured.zero_point is None:
            return None
        known = measured.parameters
        if known.quant_min is None or known.quant_max is None or not measured.scale.numel():
            return None
        if most is not None and known.quant_max - known.quant_min > most:
            return None
        # Floats of eight bits do not lie at equal distances.
        if "float" in (known.dtype or "") or not bool(measured.scale.isfinite().all()):
            return None
        return cls(
            scale=measured.scale.double(),
            zero_point=measured.zero_point.double(),
            quant_min=known.quant_min,
            quant_max=known.quant_max,
            axis=known.ch_axis,
        )

    @classmethod
    def of_op(cls, args: Sequence[Any], *, per_channel: bool) -> Self | None:
        """The grid of a quantize op's arguments: (input, scale, zero point, [axis,] least, greatest, dtype)."""
        _, scale, zero_point, *rest = args
        if len(rest) < 2 + per_channel:
            return None
        axis = int(rest.pop(0)) if per_channel else None
        steps = torch.as_tensor(scale).detach().double().flatten()
        if int(rest[1]) - int(rest[0]) > _MOST_INTEGERS or not bool(steps.isfinite().all()):
            return None
        if any(isinstance(value, torch.dtype) and value.is_floating_point for value in rest):
            return None
        return cls(
            scale=steps,
            zero_point=torch.as_tensor(zero_point).detach().double().flatten(),
            quant_min=int(rest[0]),
            quant_max=int(rest[1]),
            axis=axis,
        )

    def fits(self, value: Tensor) -> bool:
        """Whether a tensor has as many channels as the grid."""
        if self.scale.numel() == 1:
            return True
        return self.axis is not None and self.axis < value.ndim and value.shape[self.axis] == self.scale.numel()

    def rounded(self, value: Tensor) -> Tensor:
        """The nearest values that integers stand for, halves to even as torch rounds."""
        scale, zero_point = self._along(value)
        # In place from the first result on: of millions of weights, each new tensor is 100 MB of fresh memory.
        codes = (value.double() / scale).round_().add_(zero_point).clamp_(self.quant_min, self.quant_max)
        return codes.sub_(zero_point).mul_(scale)

    def misses(self, value: Tensor, found: Tensor) -> Tensor:
        """Where `found` is not the nearest value that an integer stands for; a value between two may go to either."""
        scale, zero_point = self._along(value)
        return self._missed(value, (found.double() / scale).add_(zero_point))

    def missed_codes(self, value: Tensor, codes: Tensor) -> Tensor:
        """Where integers are not those of the nearest values."""
        return self._missed(value, codes.double())

    def _missed(self, value: Tensor, codes: Tensor) -> Tensor:
        scale, zero_point = self._along(value)
        exact = (value.double() / scale).add_(zero_point)
        nearest = exact.round().clamp_(self.quant_min, self.quant_max)
        missed = (nearest.sub_(codes).abs_() <= _BORDER).logical_not_()
        # Nearly all values are the nearest, and most of the others lie at a border.
        if bool(missed.any()):
            others = (exact[missed], codes[missed], zero_point.expand_as(exact)[missed])
            missed[missed.clone()] = self._not_near(*others) & value[missed].isfinite()
        return missed

    def _not_near(self, exact: Tensor, codes: Tensor, zero_point: Tensor) -> Tensor:
        """Where codes are neither the nearest integers nor, for a value at a border, the next."""
        border = 0.5 + _BORDER + (exact - zero_point).abs() * _RELATIVE
        # What lies beyond the range goes to its end, however far it is.
        low, high = (torch.clamp(end, self.quant_min, self.quant_max) for end in (exact - border, exact + border))
        integral = (codes - codes.round()).abs() <= _BORDER + codes.abs() * _RELATIVE
        near = (codes >= low - _BORDER) & (codes <= high + _BORDER)
        return ~(near & integral)

    def _along(self, value: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale.numel() == 1 or self.axis is None:
            return self.scale.reshape(()), self.zero_point.reshape(())
        shape = [1] * value.ndim
        shape[self.axis] = -1
        return self.scale.reshape(shape), self.zero_point.reshape(shape)
