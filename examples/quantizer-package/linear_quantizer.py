"""A quantizer for PT2E of torchao: linear layers alone, their weights with a scale per channel."""

from __future__ import annotations

import torch
from torch import fx
from torchao.quantization.pt2e import HistogramObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer


class LinearQuantizer(Quantizer):
    """Quantizes what linear layers read and give, after training, to signed integers of that many bits."""

    def __init__(self, bits: int = 8) -> None:
        super().__init__()
        last = 2 ** (bits - 1) - 1
        self.activation = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-last - 1,
            quant_max=last,
            qscheme=torch.per_tensor_affine,
            observer_or_fake_quant_ctr=HistogramObserver,
        )
        self.weight = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-last,
            quant_max=last,
            qscheme=torch.per_channel_symmetric,
            ch_axis=0,
            observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
        )

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Say of every linear layer how its input, its weight and its output are quantized."""
        for node in model.graph.nodes:
            if node.target is torch.ops.aten.linear.default:
                source, weight, *_ = node.args
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map={source: self.activation, weight: self.weight},
                    output_qspec=self.activation,
                    _annotated=True,
                )
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing: every annotation of this class is one that it supports."""
