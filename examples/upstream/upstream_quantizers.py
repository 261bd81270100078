"""Quantizers that upstream's tests write or configure in Python, for the declarations beside this file.

Whoever runs those declarations allows this module: `--allow-module upstream_quantizers`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

import torch
from torch import fx
from torchao.quantization.pt2e import FixedQParamsObserver, MinMaxObserver, PlaceholderObserver
from torchao.quantization.pt2e.observer import ObserverBase
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    Quantizer,
    SharedQuantizationSpec,
)

_XNNPACK: Final = "torchao.testing.pt2e._xnnpack_quantizer"
_INDUCTOR: Final = "torchao.quantization.pt2e.quantizer.{backend}_inductor_quantizer"
_ANNOTATION: Final = "quantization_annotation"
_TAG: Final = "quantization_tag"


# Built-in classes, configured by methods that no key of a declaration stands for -------------


def xnnpack(**how: Any) -> Quantizer:
    """XNNPACKQuantizer of torchao, configured in one of the ways that it has."""
    return xnnpack_of(importlib.import_module(_XNNPACK), **how)


def xnnpack_of(
    module: ModuleType,
    *,
    is_per_channel: bool = True,
    is_dynamic: bool = False,
    is_qat: bool = False,
    weight_qmin: int = -127,
    weight_qmax: int = 127,
    configured: str = "globally",
    what: str = "",
) -> Quantizer:
    """The XNNPACKQuantizer of a module, configured in one of the ways that it has.

    `configured` is "globally", "by_op" with overloads of aten, "by_type" with the dotted path of a class of
    modules, "but_for" with the name of a node that its filter leaves out, or "not_at_all".
    """
    config = module.get_symmetric_quantization_config(
        is_per_channel=is_per_channel,
        is_dynamic=is_dynamic,
        is_qat=is_qat,
        weight_qmin=weight_qmin,
        weight_qmax=weight_qmax,
    )
    quantizer: Quantizer = module.XNNPACKQuantizer()
    _CONFIGURE[configured](quantizer, config, what)
    return quantizer


def _by_op(quantizer: Any, config: object, ops: str) -> None:
    for op in ops.split():
        quantizer.set_operator_type(_overload(op), config)


def _by_type(quantizer: Any, config: object, path: str) -> None:
    module, _, name = path.rpartition(".")
    quantizer.set_module_type(getattr(importlib.import_module(module), name), config)


def _but_for(quantizer: Any, config: object, name: str) -> None:
    quantizer.set_global(config)
    quantizer.set_filter_function(lambda node: node.name != name)


_CONFIGURE: Final[Mapping[str, Callable[[Any, object, str], object]]] = {
    "globally": lambda quantizer, config, _: quantizer.set_global(config),
    "by_op": _by_op,
    "by_type": _by_type,
    "but_for": _but_for,
    "not_at_all": lambda *_: None,
}


def embeddings() -> Quantizer:
    """EmbeddingQuantizer, for whatever a program is prepared for."""
    module = importlib.import_module("torchao.quantization.pt2e.quantizer.embedding_quantizer")
    found: Quantizer = module.EmbeddingQuantizer()
    return found


def inductor(backend: str, *, function: str, quantized: bool = True) -> Quantizer:
    """Inductor's quantizer of a backend, in which a function such as torch.matmul is quantized or stays in float."""
    module = _inductor(backend)
    config = getattr(module, f"get_default_{backend}_inductor_quantization_config")()
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")().set_global(config)
    home, _, name = function.rpartition(".")
    found: Quantizer = quantizer.set_function_type_qconfig(
        getattr(importlib.import_module(home), name), config if quantized else None
    )
    return found


def inductor_of_names(
    backend: str, *, q_is_dynamic: bool, v_is_dynamic: bool, q_is_qat: bool, v_is_qat: bool
) -> Quantizer:
    """Inductor's quantizer with a configuration for the module `q_proj` and another one for `v_proj`."""
    module = _inductor(backend)
    configure = getattr(module, f"get_default_{backend}_inductor_quantization_config")
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")()
    found: Quantizer = quantizer.set_module_name_qconfig(
        "q_proj", configure(is_qat=q_is_qat, is_dynamic=q_is_dynamic)
    ).set_module_name_qconfig("v_proj", configure(is_qat=v_is_qat, is_dynamic=v_is_dynamic))
    return found


def inductor_of_types(backend: str, *, sub: str, linear: str) -> Quantizer:
    """Inductor's quantizer with one configuration for the module `sub` and another for linear layers."""
    module = _inductor(backend)
    configure = getattr(module, f"get_default_{backend}_inductor_quantization_config")
    quantizer = getattr(module, f"{backend.capitalize()}InductorQuantizer")()
    found: Quantizer = quantizer.set_module_name_qconfig(
        "sub", configure(is_dynamic=sub == "dynamic")
    ).set_module_type_qconfig(torch.nn.Linear, configure(is_dynamic=linear == "dynamic"))
    return found


def x86_linears_in_half_precision() -> Quantizer:
    """X86InductorQuantizer with linear layers whose activations and weights are rounded to float16."""
    module = _inductor("x86")
    quantizer = module.X86InductorQuantizer().set_global(module.get_default_x86_inductor_quantization_config())
    found: Quantizer = quantizer.set_module_type_qconfig(
        torch.nn.Linear, module.get_x86_inductor_linear_dynamic_fp16_config()
    )
    return found


def _inductor(backend: str) -> ModuleType:
    return importlib.import_module(_INDUCTOR.format(backend=backend))


# Classes of one's own ------------------------------------------------------------------------


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
        self.ops = frozenset(map(_overload, ops.split()))
        self.as_second_input = as_second_input

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call one of the ops."""
        if node.target not in self.ops:
            return
        specs, output = (
            self._shared(node) if self.as_second_input else (dict.fromkeys(node.args, unsigned()), unsigned())
        )
        node.meta[_ANNOTATION] = QuantizationAnnotation(input_qspec_map=specs, output_qspec=output, _annotated=True)

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
        self.activation = _whole_range(getattr(torch, activation))
        self.weight = signed(torch.per_tensor_symmetric if symmetric_weight else torch.per_tensor_affine)

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.conv2d."""
        if node.target is not torch.ops.aten.conv2d.default:
            return
        source, weight, bias, *_ = node.args
        in_float = QuantizationSpec(dtype=torch.float32, observer_or_fake_quant_ctr=PlaceholderObserver)
        node.meta[_ANNOTATION] = QuantizationAnnotation(
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
        node.meta[_ANNOTATION] = QuantizationAnnotation(input_qspec_map=given, output_qspec=spec)


class Forgetting(Annotating):
    """A quantizer that takes away what the others before it have said."""

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Leave no node an annotation."""
        for node in model.graph.nodes:
            node.meta[_ANNOTATION] = None
        return model


class Replacing(Annotating):
    """A quantizer that annotates nothing, but puts an op in the place of another one before anybody annotates."""

    def __init__(self, old: str, new: str, *, in_a_copy: bool = False) -> None:
        super().__init__()
        self.old, self.new, self.in_a_copy = _overload(old), _overload(new), in_a_copy

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
        known = importlib.import_module(f"{_XNNPACK}_utils").OP_TO_ANNOTATOR
        configure = importlib.import_module(_XNNPACK).get_symmetric_quantization_config
        for op in self.ops:
            found = known[op](model, configure(is_per_channel=True, is_dynamic=op in self.dynamic))
            for index, nodes in enumerate(found or ()):
                for node in nodes if self.tag else ():
                    node.meta[_TAG] = f"{self.tag}_{op}_{index}"
        return super().annotate(model) if self.pooling else model

    def say(self, node: fx.Node) -> None:
        """Annotate a mean over axes, which adaptive pooling to one value is."""
        if node.target is torch.ops.aten.mean.dim:
            source: Any = node.args[0]
            node.meta[_ANNOTATION] = QuantizationAnnotation(
                input_qspec_map={source: unsigned()},
                output_qspec=SharedQuantizationSpec((source, node)),
                _annotated=True,
            )


class TaggedOps(Annotating):
    """The first input and the output of every op, each tagged with the op's name, its constants as well."""

    def say(self, node: fx.Node) -> None:
        """Annotate and tag the node."""
        config = importlib.import_module(_XNNPACK).get_symmetric_quantization_config()
        first: Any = node.args[0]
        node.meta[_ANNOTATION] = QuantizationAnnotation(
            input_qspec_map={first: config.input_activation}, output_qspec=config.output_activation
        )
        for tagged in (node, *(given for given in node.all_input_nodes if given.op == "get_attr")):
            tagged.meta[_TAG] = str(node.target)


class Shuffles(Ops):
    """Poolings and shuffles of axes, all of which share one scale and zero point that are put in at the end."""

    def __init__(self) -> None:
        super().__init__("max_pool2d.default permute.default pixel_shuffle.default")

    def say(self, node: fx.Node) -> None:
        """Annotate the first input, and share the output with it; further arguments are no tensors."""
        if node.target in self.ops:
            source: Any = node.args[0]
            node.meta[_ANNOTATION] = QuantizationAnnotation(
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
            node.meta[_ANNOTATION] = QuantizationAnnotation(
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
            node.meta[_ANNOTATION] = QuantizationAnnotation(input_qspec_map=given, output_qspec=spec, _annotated=True)


class WrittenBuffers(Annotating):
    """Buffers that index_put writes into, in place: what is written and what comes out share the buffer's scale."""

    def say(self, node: fx.Node) -> None:
        """Annotate the nodes that call aten.index_put_."""
        if node.target is torch.ops.aten.index_put_.default:
            buffer, _, value, *_ = node.args
            shared = SharedQuantizationSpec((buffer, node))
            spec: Any = signed(torch.per_tensor_symmetric)
            node.meta[_ANNOTATION] = QuantizationAnnotation(
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
        found: Any = exported.module()
        return found


# Specs ---------------------------------------------------------------------------------------


def unsigned() -> QuantizationSpec:
    """Unsigned integers of eight bits, with a zero point."""
    return _whole_range(torch.uint8)


def signed(qscheme: torch.qscheme) -> QuantizationSpec:
    """Signed integers of eight bits, for weights and buffers."""
    return QuantizationSpec(
        dtype=torch.int8, quant_min=-128, quant_max=127, qscheme=qscheme, observer_or_fake_quant_ctr=MinMaxObserver
    )


def _whole_range(dtype: torch.dtype) -> QuantizationSpec:
    limits = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    return QuantizationSpec(
        dtype=dtype,
        quant_min=int(limits.min),
        quant_max=int(limits.max),
        qscheme=torch.per_tensor_affine,
        observer_or_fake_quant_ctr=MinMaxObserver,
    )


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


def _overload(name: str) -> Any:
    """An overload of aten: "add.Tensor"."""
    op, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, op), overload)
