"""Quantizer classes of a user's own: one that does as it should, and others that each do one thing wrong."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import torch
from torch import fx
from torchao.quantization.pt2e import MinMaxObserver
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer


class Linear(Quantizer):  # type: ignore[misc]  # torchao ships no types
    """Quantizes what linear layers read, to that many bits."""

    def __init__(self, bits: int = 8) -> None:
        super().__init__()
        self.bits = bits
        self.skipped: list[type] = []

    def set_global(self, config: dict[str, int]) -> None:
        """Take the number of bits from a configuration; returns nothing, as it may."""
        self.bits = config["bits"]

    def set_module_type(self, kind: type, config: None) -> Linear:
        """Leave modules of that class alone."""
        self.skipped.append(kind)
        return self

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate every linear layer."""
        last = 2 ** (self.bits - 1) - 1
        spec = QuantizationSpec(
            dtype=torch.int8,
            quant_min=-last,
            quant_max=last,
            qscheme=torch.per_tensor_symmetric,
            observer_or_fake_quant_ctr=MinMaxObserver,
        )
        for node in model.graph.nodes:
            if node.target is torch.ops.aten.linear.default and not self.skipped:
                source, weight, *_ = node.args
                node.meta["quantization_annotation"] = QuantizationAnnotation(
                    input_qspec_map={source: spec, weight: spec}, _annotated=True
                )
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing."""


class ReturnsNothing(Linear):
    """Annotates, and returns nothing, which PT2E ignores."""

    def annotate(self, model: fx.GraphModule) -> None:  # type: ignore[override]  # that is the point
        """Annotate."""
        super().annotate(model)


class TransformsToNothing(Linear):
    """Returns nothing where the program is due."""

    def transform_for_annotation(self, model: fx.GraphModule) -> None:
        """Nothing."""


class Raises(Linear):
    """Fails at annotating."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Raise."""
        msg = "no such backend"
        raise ValueError(msg)


class Leaves(Linear):
    """Ends the interpreter at annotating."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Exit."""
        sys.exit(3)


class Dies(Linear):
    """Ends its process at annotating, without a word."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Exit at once."""
        os._exit(5)


class Hangs(Linear):
    """Never comes to an end."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Sleep."""
        while True:
            time.sleep(1)


class Forks(Linear):
    """Makes a second process, which goes on as if it were the first."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Fork, and annotate in both."""
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return super().annotate(model)


class Changes(Linear):
    """Puts a node into the graph that it is to annotate."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Double the output."""
        (output,) = (node for node in model.graph.nodes if node.op == "output")
        with model.graph.inserting_before(output):
            doubled = model.graph.call_function(torch.ops.aten.mul.Tensor, (output.args[0][0], 2.0))
        output.args = ((doubled,),)
        model.recompile()
        return super().annotate(model)


class Abstract(Quantizer):  # type: ignore[misc]  # torchao ships no types
    """Lacks both methods that it must have."""


class Plain:
    """No quantizer at all."""


def nothing() -> None:
    """Return no quantizer."""


def made(bits: int = 8) -> Linear:
    """A quantizer from a function."""
    return Linear(bits)


def config(bits: int) -> dict[str, int]:
    """A configuration."""
    return {"bits": bits}


def bad_config(**more: Any) -> dict[str, int]:
    """A configuration function that fails by itself."""
    empty: dict[str, int] = {}
    return {"bits": empty["bits"]}


class Traces(Linear):
    """Leaves the process other than it was."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Change an environment variable for good."""
        os.environ["LEFT_BY_A_QUANTIZER"] = "1"
        return super().annotate(model)


class Tagged(Linear):
    """Tags each linear layer and its weight, as a backend does that delegates by tags."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate and tag every linear layer."""
        super().annotate(model)
        linears = [node for node in model.graph.nodes if node.target is torch.ops.aten.linear.default]
        for number, node in enumerate(linears):
            for part in (node, node.args[1]):
                part.meta["quantization_tag"] = f"own_linear_{number}"
        return model
