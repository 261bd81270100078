"""Classes that annotate programs in their own way."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import fx
from torchao.quantization.pt2e import FixedQParamsObserver, MinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

from upstream_quantizers.specs import ANNOTATION, TAG, XNNPACK, overload, signed, unsigned, whole_range


class Annotating(Quantizer):
    """A quantizer that is nothing but what its `annotate` says of the nodes that call ops."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Say of every node that calls an op how its inputs and its output are quantized."""
        for node in model.graph.nodes:
            if node.op == "call_function":
                self.say(node)
        return model

    def say(self, node: fx.Node) -> None:
        """Annotate one node, or leave it alone."""

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing: what these classes annotate is what the tests want annotated."""


class Ops(Annotating):
    """What some ops read and give, as unsigned integers of eight bits.

    With `as_second_input` all have the scale and the zero point of the second input.
    """

    def __init__(self, ops: str, *, as_second_input: bool = False) -> None:
        super().__init__()
        self.ops = frozenset(map(overload, ops.split()))
        self.as_second_input = as_second_input

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call one of the ops."""
        if node.target not in self.ops:
            return
        specs, output = (
            self._shared(node) if self.as_second_input else (dict.fromkeys(node.args, unsigned()), unsigned())
        )
        node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=specs, output_qspec=output, _annotated=True)

    def _shared(self, node: fx.Node) -> tuple[dict[Any, Any], SharedQuantizationSpec]:
        """The specs of both inputs, which may be a list's, and of the output."""
        first, second = node.all_input_nodes
        shared = SharedQuantizationSpec((second, node))
        return {second: unsigned(), first: shared}, shared


class Convolutions(Annotating):
    """Two-dimensional convolutions, their weights as signed integers of eight bits with a zero point.

    `activation` is the name of a dtype, a float of eight bits included.
    """

    def __init__(self, *, activation: str = "uint8", symmetric_weight: bool = False) -> None:
        super().__init__()
        self.activation = whole_range(getattr(torch, activation))
        self.weight = signed(torch.per_tensor_symmetric if symmetric_weight else torch.per_tensor_affine)

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.conv2d."""
        if node.target is not torch.ops.aten.conv2d.default:
            return
        source, weight, bias, *_ = node.args
        in_float = QuantizationSpec(dtype=torch.float32, observer_or_fake_quant_ctr=PlaceholderObserver)
        node.meta[ANNOTATION] = QuantizationAnnotation(
            input_qspec_map={source: self.activation, weight: self.weight, bias: in_float},
            output_qspec=self.activation,
            _annotated=True,
        )


class Everything(Annotating):
    """All tensors that any op reads or gives, arguments by keyword included, as signed integers of eight bits."""

    def say(self, node: fx.Node) -> None:
        """Annotate the node."""
        spec = QuantizationSpec(
            dtype=torch.int8, observer_or_fake_quant_ctr=MinMaxObserver, qscheme=torch.per_tensor_symmetric
        )
        given: dict[Any, Any] = dict.fromkeys(node.all_input_nodes, spec)
        node.meta[ANNOTATION] = QuantizationAnnotation(input_qspec_map=given, output_qspec=spec)


class Forgetting(Annotating):
    """A quantizer that takes away what the others before it have said."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Leave no node an annotation."""
        for node in model.graph.nodes:
            node.meta[ANNOTATION] = None
        return model


class Replacing(Annotating):
    """A quantizer that annotates nothing, but puts an op in the place of another one before anybody annotates."""

    def __init__(self, old: str, new: str, *, in_a_copy: bool = False) -> None:
        super().__init__()
        self.old, self.new, self.in_a_copy = overload(old), overload(new), in_a_copy

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        """Replace the op, in the graph itself or in a copy."""
        if self.in_a_copy:
            graph = fx.Graph()
            graph.output(graph.graph_copy(model.graph, {}))
            model = fx.GraphModule(model, graph)
        for node in model.graph.nodes:
            if node.target is self.old:
                node.target = self.new
        model.recompile()
        return model


class Parts(Annotating):
    """Ops that XNNPACK's annotators of torchao know, in this order, each by itself: "linear conv add".

    With `tag`, the nodes of each pattern carry a tag of that name, the pattern's and its number. `pooling` says
    that means over axes are quantized to unsigned integers and share them with their input.
    """

    def __init__(self, ops: str, *, tag: str = "", dynamic: str = "", pooling: bool = False) -> None:
        super().__init__()
        self.ops, self.tag, self.dynamic, self.pooling = ops.split(), tag, frozenset(dynamic.split()), pooling

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Let the annotators find their patterns, and tag what they find."""
        known = importlib.import_module(f"{XNNPACK}_utils").OP_TO_ANNOTATOR
        configure = importlib.import_module(XNNPACK).get_symmetric_quantization_config
        for op in self.ops:
            found = known[op](model, configure(is_per_channel=True, is_dynamic=op in self.dynamic))
            for index, nodes in enumerate(found or ()):
                for node in nodes if self.tag else ():
                    node.meta[TAG] = f"{self.tag}_{op}_{index}"
        if self.pooling:
            super().annotate(model)
        return model

    def say(self, node: fx.Node) -> None:
        """Annotate a mean over axes, which adaptive pooling to one value is."""
        if node.target is torch.ops.aten.mean.dim:
            source: Any = node.args[0]
            node.meta[ANNOTATION] = QuantizationAnnotation(
                input_qspec_map={source: unsigned()},
                output_qspec=SharedQuantizationSpec((source, node)),
                _annotated=True,
            )


class TaggedOps(Annotating):
    """The first input and the output of every op, each tagged with the op's name, its constants as well."""

    def say(self, node: fx.Node) -> None:
        """Annotate and tag the node."""
        config = importlib.import_module(XNNPACK).get_symmetric_quantization_config()
        first: Any = node.args[0]
        node.meta[ANNOTATION] = QuantizationAnnotation(
            input_qspec_map={first: config.input_activation}, output_qspec=config.output_activation
        )
        for tagged in (node, *(given for given in node.all_input_nodes if given.op == "get_attr")):
            tagged.meta[TAG] = str(node.target)


class Shuffles(Ops):
    """Poolings and shuffles of axes, all of which share one scale and zero point that are put in at the end."""

    def __init__(self) -> None:
        super().__init__("max_pool2d.default permute.default pixel_shuffle.default")

    def say(self, node: fx.Node) -> None:
        """Annotate the first input, and share the output with it; further arguments are no tensors."""
        if node.target in self.ops:
            source: Any = node.args[0]
            node.meta[ANNOTATION] = QuantizationAnnotation(
                input_qspec_map={source: unsigned()},
                output_qspec=SharedQuantizationSpec((source, node)),
                _annotated=True,
            )

    def prepare_obs_or_fq_callback(self, model: fx.GraphModule, edge_or_node_to_obs_or_fq: dict[Any, Any]) -> None:
        """Put one observer with fixed parameters where the output's is, and all that share it."""
        (output,) = (node for node in model.graph.nodes if node.op == "output")
        old = edge_or_node_to_obs_or_fq[output.args[0][0]]
        fixed = FixedQParamsObserver(
            scale=0.125, zero_point=42, dtype=torch.uint8, quant_min=0, quant_max=255, qscheme=torch.per_tensor_affine
        )
        for place, observer in list(edge_or_node_to_obs_or_fq.items()):
            if observer is old:
                edge_or_node_to_obs_or_fq[place] = fixed


class WrittenBuffers(Annotating):
    """Buffers that index_put writes into, in place: what is written and what comes out share the buffer's scale."""

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.index_put_."""
        if node.target is torch.ops.aten.index_put_.default:
            buffer, _, value, *_ = node.args
            shared = SharedQuantizationSpec((buffer, node))
            spec: Any = signed(torch.per_tensor_symmetric)
            node.meta[ANNOTATION] = QuantizationAnnotation(
                input_qspec_map={buffer: spec, value: shared}, output_qspec=shared, _annotated=True
            )


class Decomposed(Ops):
    """Sums of a program that is exported once more and decomposed before anybody annotates it."""

    def __init__(self, batch: int, channels: int, spatial: int) -> None:
        super().__init__("add.Tensor")
        self.shape = (batch, channels, spatial, spatial)

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        """Export the program for one input of the given shape, and decompose it."""
        exported = torch.export.export(model, (torch.randn(self.shape),)).run_decompositions({})
        found: fx.GraphModule = exported.module()
        return found
