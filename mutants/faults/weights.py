"""Faults of quantized weights and of biases, in the converted program."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from mutants.faults.fault import Fault, Find, Quantity
from mutants.programs import Place, Program
from mutants.weights import Weight, quantized_weights

_LOWEST: Final = -127
_HIGHEST: Final = 127


def _each(change: Callable[[Weight], object], *, where: Callable[[Weight], bool] = lambda _: True) -> Find:
    def find(program: Program) -> Iterator[Place]:
        for weight in quantized_weights(program):
            if where(weight):
                yield Place(weight.layer, functools.partial(change, weight))

    return find


def _recoded(change: Callable[[Tensor], Tensor]) -> Find:
    """Other integers, wherever they are others."""

    def plant(weight: Weight) -> None:
        weight.put(change(weight.codes()).clamp(_LOWEST, _HIGHEST))

    return _each(plant, where=lambda weight: not torch.equal(change(weight.codes()), weight.codes()))


def _rescaled(change: Callable[[Tensor], Tensor]) -> Find:
    def plant(weight: Weight) -> None:
        weight.rescale(change(weight.scales()), weight.zero_points(), axis=weight.axis)

    return _each(plant)


def _rescaled_channel(change: Callable[[Tensor], Tensor]) -> Find:
    def plant(weight: Weight) -> None:
        scales = weight.scales()
        scales[-1] = change(scales[-1])
        weight.rescale(scales, weight.zero_points(), axis=weight.axis)

    return _each(plant, where=_is_per_channel)


def _is_per_channel(weight: Weight) -> bool:
    return weight.axis is not None


def _move_zero_points(weight: Weight) -> None:
    weight.rescale(weight.scales(), weight.zero_points() + 1, axis=weight.axis)


def _swap_axis(weight: Weight) -> None:
    """The scales along the other axis, as many as that is long."""
    axis = 1 - (weight.axis or 0)
    places = torch.arange(weight.codes().shape[axis]) % weight.scales().numel()
    weight.rescale(weight.scales()[places], weight.zero_points()[places], axis=axis)


def _use_one_scale(weight: Weight) -> None:
    """The largest scale for all channels, and the integers that then belong to the values."""
    scales = weight.scales()
    shape = [-1, *[1] * (weight.codes().ndim - 1)]
    codes = (weight.codes() * (scales / scales.max()).double().reshape(shape)).round().long()
    weight.rescale(torch.full_like(scales, float(scales.max())), weight.zero_points(), axis=weight.axis)
    weight.put(codes)


def _change_one(codes: Tensor) -> Tensor:
    changed = codes.clone()
    first = changed.view(-1)[0]
    changed.view(-1)[0] = first - 5 if first > 0 else first + 5
    return changed


def _round_down(codes: Tensor) -> Tensor:
    """One lower at every second place, as what is rounded down is for half of all values."""
    changed = codes.clone().view(-1)
    changed[::2] -= 1
    return changed.view(codes.shape)


def _of_another(program: Program) -> Iterator[Place]:
    """The integers of another layer whose weight has the same shape."""
    weights = list(quantized_weights(program))
    for weight in weights:
        alike = [other for other in weights if _is_like(other, weight)]
        if alike:
            yield Place(weight.layer, functools.partial(weight.put, alike[0].codes()))


def _is_like(other: Weight, weight: Weight) -> bool:
    return other.codes().shape == weight.codes().shape and not torch.equal(other.codes(), weight.codes())


def _biased(change: Callable[[Tensor], Tensor | None]) -> Find:
    def plant(weight: Weight) -> None:
        bias = weight.bias()
        assert bias is not None
        weight.put_bias(change(bias.detach()))

    return _each(plant, where=lambda weight: weight.bias() is not None)


def _fault(name: str, quantity: Quantity, about: str, find: Find) -> Fault:
    return Fault(name=name, about=about, point="converted", quantity=quantity, find=find)


FAULTS: Final = (
    _fault("weight_scale_doubled", "scale", "a weight's scales are doubled", _rescaled(lambda scale: scale * 2)),
    _fault(
        "weight_scale_nudged",
        "scale",
        "a weight's scales are a thousandth larger",
        _rescaled(lambda scale: scale * 1.001),
    ),
    _fault(
        "weight_scale_of_one_channel",
        "scale",
        "the scale of one channel of a weight is half of what it should be",
        _rescaled_channel(lambda scale: scale / 2),
    ),
    _fault(
        "weight_scales_rolled",
        "scale",
        "each channel has the scale of the one before it",
        _each(
            lambda weight: weight.rescale(weight.scales().roll(1), weight.zero_points(), axis=weight.axis),
            where=_is_per_channel,
        ),
    ),
    _fault(
        "weight_zero_point_off_by_one", "zero point", "a weight's zero points are one off", _each(_move_zero_points)
    ),
    _fault(
        "weight_axis", "axis", "a weight's scales are along the other axis", _each(_swap_axis, where=_is_per_channel)
    ),
    _fault(
        "weight_per_tensor",
        "scale",
        "a weight has one scale instead of one per channel",
        _each(_use_one_scale, where=_is_per_channel),
    ),
    _fault("weight_negated", "weight", "a weight has the other sign", _recoded(lambda codes: -codes)),
    _fault("weight_element", "weight", "one element of a weight is five steps off", _recoded(_change_one)),
    _fault(
        "weight_channels_rolled",
        "weight",
        "each channel has the weights of the one before it",
        _recoded(lambda codes: codes.roll(1, 0)),
    ),
    _fault("weight_rounded_down", "weight", "half of a weight's integers are one too low", _recoded(_round_down)),
    _fault(
        "weight_of_seven_bits",
        "weight",
        "a weight's integers end at half of their range",
        _recoded(lambda codes: codes.clamp(-64, 63)),
    ),
    _fault("weight_of_another", "weight", "a weight is that of another layer", _of_another),
    _fault("bias_dropped", "bias", "a bias is lost", _biased(lambda _: None)),
    _fault("bias_rolled", "bias", "each channel has the bias of the one before it", _biased(lambda bias: bias.roll(1))),
    _fault("bias_rescaled", "bias", "a bias is a tenth too large", _biased(lambda bias: bias * 1.1)),
    _fault("bias_negated", "bias", "a bias has the other sign", _biased(lambda bias: -bias)),
)
