"""Classes whose observers are not those of PT2E's usual specs: by token, by group, with ops of their own."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import fx
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec

from upstream_quantizers.annotating import Annotating
from upstream_quantizers.specs import ANNOTATION


class Groups(Annotating):
    """Linear layers whose activations have a scale for each token and whose weights have one for each group or row.

    `activation` is "observed", or "dynamic", or "moving" for a moving average that is taken as values come;
    `weight` is "group", of 128 values, or "row".
    """

    def __init__(self, *, activation: str, weight: str) -> None:
        super().__init__()
        self.activation, self.weight = (
            _by_token(activation),
            _by_group_or_row(weight, observed=activation == "observed"),
        )

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.linear."""
        if node.target is torch.ops.aten.linear.default:
            source, weight, *_ = node.args
            node.meta[ANNOTATION] = QuantizationAnnotation(
                input_qspec_map={source: self.activation, weight: self.weight}, _annotated=True
            )


class FourBits(ObserverBase):
    """An observer that puts ops of its own into the program instead of PT2E's quantize and dequantize."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(dtype=torch.int8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Look at nothing."""
        return x

    def calculate_qparams(self, **_: object) -> None:
        """Nothing: the ops have a scale of their own."""

    def convert(self, model: fx.GraphModule, observer_node: fx.Node) -> None:
        """Replace the observer by the two ops."""
        ops = torch.ops.upstream_quantizers
        with model.graph.inserting_before(observer_node):
            codes = model.graph.call_function(ops.quantize_to_four_bits.default, (observer_node.args[0],))
            values = model.graph.call_function(ops.dequantize_from_four_bits.default, (codes,))
            observer_node.replace_all_uses_with(values)
            model.graph.erase_node(observer_node)


@torch.library.custom_op("upstream_quantizers::quantize_to_four_bits", mutates_args=())
def quantize_to_four_bits(x: torch.Tensor) -> torch.Tensor:
    """The nearest of the integers from 0 to 15."""
    return torch.clamp(torch.round(x), 0, 15).to(torch.uint8)


@torch.library.custom_op("upstream_quantizers::dequantize_from_four_bits", mutates_args=())
def dequantize_from_four_bits(x: torch.Tensor) -> torch.Tensor:
    """The integers as numbers."""
    return x.to(torch.float32)


class SumsOfFourBits(Annotating):
    """Sums, what they read and give observed by an observer that has a say in how it is converted."""

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.add."""
        if node.target is torch.ops.aten.add.Tensor:
            spec = QuantizationSpec(
                dtype=torch.uint8,
                quant_min=0,
                quant_max=255,
                qscheme=torch.per_tensor_affine,
                observer_or_fake_quant_ctr=FourBits,
            )
            given: dict[Any, Any] = dict.fromkeys(node.all_input_nodes, spec)
            node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=given, output_qspec=spec, _annotated=True)


def _by_token(kind: str) -> QuantizationSpec:
    affine = importlib.import_module("torchao.quantization.pt2e._affine_quantization")
    observing = importlib.import_module("torchao.quantization.pt2e.observer")
    dtype = torch.uint8 if kind == "observed" else torch.int8
    observers = {
        "observed": affine.AffineQuantizedMinMaxObserver,
        "dynamic": affine.AffineQuantizedPlaceholderObserver,
        "moving": affine.AffineQuantizedMovingAverageMinMaxObserver,
    }
    moving = {"averaging_constant": 1} if kind == "moving" else {}
    limits = torch.iinfo(dtype)
    return QuantizationSpec(
        dtype=dtype,
        quant_min=limits.min,
        quant_max=limits.max,
        qscheme=None,
        is_dynamic=kind != "observed",
        observer_or_fake_quant_ctr=observers[kind].with_args(
            target_dtype=dtype,
            mapping_type=observing.MappingType.SYMMETRIC,
            granularity=observing.PerToken(),
            **moving,
        ),
    )


def _by_group_or_row(kind: str, *, observed: bool) -> QuantizationSpec:
    affine = importlib.import_module("torchao.quantization.pt2e._affine_quantization")
    observing = importlib.import_module("torchao.quantization.pt2e.observer")
    if kind == "row":
        return QuantizationSpec(
            dtype=torch.int8,
            quant_min=-127,
            quant_max=127,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=observing.PerChannelMinMaxObserver.with_args(),
        )
    dtype = torch.uint8 if observed else torch.int8
    return QuantizationSpec(
        dtype=dtype,
        quant_min=0 if observed else -127,
        quant_max=255 if observed else 127,
        qscheme=None if observed else torch.per_channel_symmetric,
        ch_axis=None if observed else 0,
        observer_or_fake_quant_ctr=affine.AffineQuantizedMinMaxObserver.with_args(
            target_dtype=dtype,
            mapping_type=observing.MappingType.SYMMETRIC,
            granularity=observing.PerGroup(group_size=128),
        ),
    )
