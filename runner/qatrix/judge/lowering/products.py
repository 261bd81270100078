"""Convolutions and linear ops on integers: exactly, and as kernels give them that add pairs in 16 bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own custom

from qatrix.judge.lowering.facts import DepartureFacts, Product

_LEAST, _GREATEST = -(2**15), 2**15 - 1
_CONVS: Final[dict[int, Callable[..., Tensor]]] = {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}
_FUSED: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "none": lambda value: value,
    "relu": lambda value: value.clamp(min=0),
    "relu6": lambda value: value.clamp(0, 6),
    "hardtanh": lambda value: value.clamp(-1, 1),
}


@dataclass(frozen=True, kw_only=True)
class Paired:
    """What adding pairs in 16 bits gives: the op's values, how many pairs do not fit, and the greatest sum of one."""

    values: Tensor
    saturated: int
    greatest: int


def exact(product: Product, *, activated: bool = True) -> Tensor:
    """The op in float64: sums of integers, which it holds exactly, times the scales, and the bias."""
    codes = product.activation.codes.double() - product.activation.zero_point.double()
    weight = product.weight.codes.double() - _by_channel(product.weight.zero_point.double(), product.weight.codes.ndim)
    return _finished(product, _sums(product, codes, weight), activated=activated)


def magnitude(product: Product) -> Tensor:
    """The sum of the absolute values of all terms: what the error of a sum in another order is bounded by."""
    codes = (product.activation.codes.double() - product.activation.zero_point.double()).abs()
    zero_point = _by_channel(product.weight.zero_point.double(), product.weight.codes.ndim)
    weight = (product.weight.codes.double() - zero_point).abs()
    value = _sums(product, codes, weight) * _scales(product)
    return value if product.bias is None else value + _along(product.bias.double().abs(), value.ndim, product)


def terms(product: Product) -> int:
    """How many products one value is the sum of, its bias counted."""
    return int(product.weight.codes[0].numel()) + 1


def paired(product: Product) -> Paired | None:
    """The op as a kernel gives it that adds pairs of u8 x s8 products in 16 bits; None for what is not told here.

    vpmaddubsw takes two neighboring input channels at one place of the kernel. It multiplies the codes as they are;
    what the zero point adds is subtracted from the sums afterwards. Places in the padding are left out.
    """
    if product.weight.zero_point.any() or product.activation.quant_min < 0:
        return None
    columns = _columns(product)
    if columns is None:
        return None
    values, inside = columns
    weight = product.weight.codes.double().reshape(product.groups, -1, *values.shape[2:4])
    outputs, saturated, greatest = [], 0, 0
    for group in range(product.groups):
        for channel in weight[group]:
            pairs = _pairs(values[:, group], channel)
            saturated += int(((pairs < _LEAST) | (pairs > _GREATEST)).sum())
            greatest = max(greatest, int(pairs.abs().max()))
            shift = (inside[:, group] * channel[None, :, :, None]).sum((1, 2)) * product.activation.zero_point.double()
            outputs.append(pairs.clamp(_LEAST, _GREATEST).sum((1, 2)) - shift)
    sums = torch.stack(outputs, 1)
    shape = exact(product).shape
    sums = sums.transpose(1, 2).reshape(shape) if product.kind == "linear" else sums.reshape(shape)
    return Paired(values=_finished(product, sums), saturated=saturated, greatest=greatest)


def quantized(value: Tensor, facts: DepartureFacts) -> Tensor:
    """A value as the op's output has it: rounded to its steps and clamped, or as it is where it leaves as float."""
    if facts.scale is None:
        return value
    codes = torch.round(value / facts.scale) + facts.zero_point
    return (codes.clamp(facts.quant_min, facts.quant_max) - facts.zero_point) * facts.scale


def _sums(product: Product, values: Tensor, weight: Tensor) -> Tensor:
    if product.kind == "linear":
        return F.linear(values, weight)
    told: dict[str, Any] = {"stride": product.stride, "padding": product.padding, "dilation": product.dilation}
    return _CONVS[values.ndim](values, weight, groups=product.groups, **{name: at for name, at in told.items() if at})


def _finished(product: Product, sums: Tensor, *, activated: bool = True) -> Tensor:
    value = sums * _scales(product)
    if product.bias is not None:
        value = value + _along(product.bias.double(), value.ndim, product)
    return _FUSED[product.fused](value) if activated else value


def _scales(product: Product) -> Tensor:
    scale = product.weight.scale.double() * product.activation.scale.double()
    return _along(scale, product.activation.codes.ndim, product) if scale.numel() > 1 else scale


def _along(values: Tensor, ndim: int, product: Product) -> Tensor:
    """One value for each output channel, in the shape in which it goes with the op's value."""
    return values if product.kind == "linear" else values.reshape(1, -1, *[1] * (ndim - 2))


def _by_channel(values: Tensor, ndim: int) -> Tensor:
    return values.reshape(-1, *[1] * (ndim - 1)) if values.numel() > 1 else values


def _columns(product: Product) -> tuple[Tensor, Tensor] | None:
    """The activations that each value is made of, as (sample, group, channel, place, value), and where they are inside.

    None for convolutions of three dimensions, whose columns torch does not give.
    """
    codes = product.activation.codes.double()
    if product.kind == "linear":
        rows = codes.reshape(1, 1, -1, 1, codes.shape[-1]).transpose(2, 4)
        return rows, torch.ones_like(rows)
    plane, three_dimensions = 4, 5
    if codes.ndim == three_dimensions:
        return None
    lone = codes.ndim < plane
    shape, padding = product.weight.codes.shape[2:], product.padding or (0,) * (codes.ndim - 2)
    lead: tuple[int, ...] = (1,) if lone else ()
    told: dict[str, Any] = {
        "kernel_size": (*lead, *shape),
        "stride": (*lead, *(product.stride or (1,) * len(shape))),
        "dilation": (*lead, *(product.dilation or (1,) * len(shape))),
        "padding": (*((0,) if lone else ()), *padding),
    }
    image = codes.unsqueeze(2) if lone else codes
    unfolded = (F.unfold(item, **told) for item in (image, torch.ones_like(image)))
    samples, per_group = len(codes), codes.shape[1] // product.groups
    values, inside = (item.reshape(samples, product.groups, per_group, -1, item.shape[-1]) for item in unfolded)
    return values, inside


def _pairs(values: Tensor, weight: Tensor) -> Tensor:
    """The sums of two neighboring channels' products: (sample, pair, place, value)."""
    products = values * weight[None, :, :, None]
    if products.shape[1] % 2:
        products = F.pad(products, (0, 0, 0, 0, 0, 1))
    return products[:, ::2] + products[:, 1::2]
