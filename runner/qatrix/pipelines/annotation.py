"""Declared quantizers for PT2E: finds the declared op chains in an exported graph and annotates them."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from qatrix.declare.spec import DerivedSpec, OpSpec, OpTensor, QuantizerSpec, SharedSpec, TensorSpec
from qatrix.pipelines.aten_ops import OpAnnotation, Specs
from qatrix.pipelines.groups import grouped_spec
from qatrix.pipelines.observers import constructor
from qatrix.pipelines.torchenv import Pt2eApi

# The aten ops behind each part of a chain's name; in-place variants end in an underscore.
_OPS: Final = {
    "conv": {f"{name}{dim}d" for name in ("conv", "conv_transpose") for dim in (1, 2, 3)},
    "bn": {"batch_norm", "_native_batch_norm_legit", "cudnn_batch_norm"},
    "relu": {"relu", "relu_"},
    "linear": {"linear"},
    "add": {"add", "add_"},
    "mul": {"mul", "mul_"},
    "cat": {"cat"},
}
_WEIGHTED: Final = ("conv", "linear")


class DeclaredAnnotation:
    """A PT2E quantizer made from a declaration; it has the methods that prepare_pt2e calls."""

    def __init__(self, spec: QuantizerSpec, api: Pt2eApi, skip_modules: tuple[str, ...] = ()) -> None:
        self._spec = spec
        self._api = api
        self._skipped = frozenset(_type_name(getattr(nn, name)) for name in skip_modules)
        # One object each: PT2E lets a producer and its consumers share an observer where their specs are equal.
        self._activation = self._tensor(spec.activation)
        self._weight = self._tensor(spec.weight)
        self._ops = [OpAnnotation(op, self._made(op)) for op in spec.ops]

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        """The graph as it is: nothing has to be rewritten before it is annotated."""
        return model

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Annotate every declared chain, the longest first, so that conv_bn_relu wins over conv; then single ops."""
        for name in sorted(self._spec.annotate, key=lambda chain: -chain.count("_")):
            for chain in list(_chains(model.graph, name.split("_"))):
                if not any(self._taken(node) for node in chain):
                    self._annotate(name, chain)
        for op in self._ops:
            for node in list(model.graph.nodes):
                if op.is_call(node) and not self._taken(node):
                    op.annotate(node, self._api)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing to validate: the declaration was checked when it was read."""

    def prepare_obs_or_fq_callback(self, model: fx.GraphModule, edge_or_node_to_obs_or_fq: dict[Any, Any]) -> None:
        """Leave the observers as the annotations made them."""

    def _taken(self, node: fx.Node) -> bool:
        annotation = node.meta.get("quantization_annotation")
        types = {_type_name(entry[1]) for entry in node.meta.get("nn_module_stack", {}).values()}
        return bool(annotation and annotation._annotated) or bool(types & self._skipped)

    def _annotate(self, name: str, chain: list[fx.Node]) -> None:
        anchor, last = chain[0], chain[-1]
        for node in chain:
            self._mark(node, {}, None)
        inputs = self._inputs(name.partition("_")[0], anchor)
        # What is quantized as it comes is computed in integers and leaves as float.
        output = None if self._spec.is_dynamic else self._activation
        if name in self._spec.shared:
            first, *others = inputs
            shared = self._api.find("SharedQuantizationSpec")((first, anchor))
            inputs |= dict.fromkeys(others, shared)
            output = shared
        self._mark(anchor, inputs, None)
        self._mark(last, inputs if last is anchor else {}, output)

    def _mark(self, node: fx.Node, inputs: dict[fx.Node, Any], output: Any) -> None:
        node.meta["quantization_annotation"] = self._api.find("QuantizationAnnotation")(
            input_qspec_map=inputs, output_qspec=output, _annotated=True
        )

    def _inputs(self, op: str, anchor: fx.Node) -> dict[fx.Node, Any]:
        if op not in _WEIGHTED:
            return dict.fromkeys(_tensor_inputs(anchor), self._activation)
        specs = [self._activation, self._weight, self._bias(anchor)]
        return {node: spec for node, spec in zip(anchor.args, specs) if isinstance(node, fx.Node) and spec is not None}

    def _made(self, op: OpSpec) -> Specs:
        """The specs of an op's tensors by what it calls them; those of its own are made once for all its calls."""
        names: dict[OpTensor | None, Any] = {"activation": self._activation, "weight": self._weight, "float": None}
        usual = {"activation": self._activation, "weight": self._weight, "bias": None}
        default = None if self._spec.is_dynamic else self._activation
        inputs = None if op.inputs is None else {key: self._of_op(one, names) for key, one in op.inputs.items()}
        output = default if op.output is None else self._of_op(op.output, names)
        return Specs(inputs=inputs, output=output, usual=usual)

    def _of_op(self, tensor: OpTensor, names: dict[OpTensor | None, Any]) -> Any:
        if isinstance(tensor, SharedSpec):
            return tensor
        return self._tensor(tensor) if isinstance(tensor, TensorSpec) else names[tensor]

    def _tensor(self, spec: TensorSpec | None) -> Any:
        if spec is None:
            return None
        if spec.group_size is not None:
            return grouped_spec(spec, self._api)
        if spec.scale is not None:
            return self._api.find("FixedQParamsQuantizationSpec")(
                dtype=getattr(torch, spec.dtype),
                scale=spec.scale,
                zero_point=spec.zero_point or 0,
                quant_min=spec.quant_min,
                quant_max=spec.quant_max,
                qscheme=getattr(torch, spec.qscheme),
            )
        return self._api.find("QuantizationSpec")(
            dtype=getattr(torch, spec.dtype),
            quant_min=spec.quant_min,
            quant_max=spec.quant_max,
            qscheme=getattr(torch, spec.qscheme),
            ch_axis=spec.ch_axis,
            is_dynamic=self._spec.mode_of(spec) == "dynamic" or spec.dynamic,
            observer_or_fake_quant_ctr=constructor(spec, self._spec.mode_of(spec), _Names(self._api)),
        )

    def _bias(self, anchor: fx.Node) -> Any:
        bias = self._spec.bias
        if bias is None:
            return None
        sources = {"activation": anchor.args[0], "weight": anchor.args[1]}
        return self._api.find("DerivedQuantizationSpec")(
            derived_from=[(sources[name], anchor) for name in bias.derived_from],
            derive_qparams_fn=_ScaleProduct(bias),
            dtype=getattr(torch, bias.dtype),
            quant_min=bias.quant_min,
            quant_max=bias.quant_max,
            qscheme=getattr(torch, bias.qscheme),
            ch_axis=bias.ch_axis,
        )


class _Names:
    """The classes of an api as attributes."""

    def __init__(self, api: Pt2eApi) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return self._api.find(name)


class _ScaleProduct:
    """Quantization parameters of a bias: the product of the scales it derives from, zero point 0.

    An accumulator of int8 products then adds an int32 bias without rescaling.
    https://arxiv.org/abs/1712.05877, section 2.4
    """

    def __init__(self, bias: DerivedSpec) -> None:
        self._per_channel = bias.qscheme.startswith("per_channel")

    def __call__(self, observers: list[Any]) -> tuple[Tensor, Tensor]:
        """Scale (float32) and zero point (int32), of length 1 or one per channel."""
        scale = torch.ones(1, dtype=torch.float32)
        for observer in observers:
            scale = scale * observer.calculate_qparams()[0].to(scale.device)
        if not self._per_channel:
            scale = scale.reshape(1).to(torch.float32)
        return scale, torch.zeros_like(scale, dtype=torch.int32)


def _chains(graph: fx.Graph, parts: list[str]) -> Iterator[list[fx.Node]]:
    """Every run of nodes whose ops are the parts, each the only user of the one before."""
    for node in graph.nodes:
        if chain := _chain(node, parts):
            yield chain


def _chain(node: fx.Node, parts: list[str]) -> list[fx.Node]:
    """The run that starts at a node, with the nodes that pick an op's result; empty where it is not all there."""
    chain: list[fx.Node] = []
    for part in parts:
        users = list(chain[-1].users) if chain else [node]
        if len(users) != 1 or not _is_op(users[0], part):
            return []
        chain.append(users[0])
        chain += [user for user in users[0].users if user.target is operator.getitem and user.args[1] == 0]
    return chain


def _is_op(node: fx.Node, part: str) -> bool:
    packet = getattr(node.target, "overloadpacket", None)
    return node.op == "call_function" and packet is not None and packet.__name__ in _OPS[part]


def _tensor_inputs(node: fx.Node) -> list[fx.Node]:
    """The nodes that an op takes, also those inside a list, each once, in order."""
    found: dict[fx.Node, None] = {}
    fx.node.map_arg(node.args, found.setdefault)
    return list(found)


def _type_name(kind: object) -> str:
    """A class's qualified name; exported graphs keep classes as text or as types."""
    return f"{kind.__module__}.{kind.__qualname__}" if isinstance(kind, type) else str(kind)
