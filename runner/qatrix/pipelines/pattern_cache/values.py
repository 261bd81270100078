"""Arguments and metadata of graph nodes as JSON-like data and back; types that are not listed are refused."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import fx
from torch._ops import OpOverload, OpOverloadPacket
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx import traceback
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch.fx.passes.shape_prop import TensorMetadata

_NAMESPACES: Final = ("aten", "quantized_decomposed")
# Where the functions are that `source_fn_stack` names; they are compared, never called.
_FUNCTION_MODULES: Final = ("torch", "torch.nn.functional", "_operator")
_SCALARS: Final = (type(None), bool, int, float, str)


class Unencodable(Exception):
    """A value of a type that this module does not know."""


def encoded(value: Any) -> Any:
    """The value as JSON-like data; raises Unencodable."""
    if type(value) in _SCALARS:
        return value
    for kind, tag, encode in _ENCODERS:
        # A subclass may hold more than its base: only the types themselves are known.
        if type(value) is kind:
            return {tag: encode(value)}
    raise Unencodable(type(value))


class Values:
    """Decodes the values of one graph, whose nodes so far are `nodes`.

    Tensors in metadata are fake: they have a shape and no numbers. Those of one graph share
    one fake mode, as after an export.
    """

    def __init__(self, nodes: dict[str, fx.Node]) -> None:
        self._nodes = nodes
        self._mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)

    def decoded(self, data: Any) -> Any:
        """The value; raises some exception where the data is not the data of one."""
        if type(data) in _SCALARS:
            return data
        ((tag, content),) = data.items()
        return _DECODERS[tag](self, content)

    def items(self, data: list[Any]) -> list[Any]:
        """The values of a list of data."""
        return [self.decoded(item) for item in data]

    def node(self, name: str) -> fx.Node:
        """A node of the graph that stands before the present one."""
        return self._nodes[name]

    def fake(self, data: list[Any]) -> FakeTensor:
        """A fake tensor of the graph's mode."""
        shape, stride, dtype, device, requires_grad = self.items(data)
        with self._mode:
            tensor = torch.empty_strided(shape, stride, dtype=dtype, device=device, requires_grad=requires_grad)
        assert isinstance(tensor, FakeTensor)
        return tensor


def _encoded_items(values: Any) -> list[Any]:
    return [encoded(item) for item in values]


def _encoded_dict(values: dict[Any, Any]) -> list[Any]:
    return [[encoded(key), encoded(item)] for key, item in values.items()]


def _encoded_operator(value: Any) -> list[str]:
    packet, overload = (value.overloadpacket, value._overloadname) if isinstance(value, OpOverload) else (value, "")
    namespace, _, name = packet._qualified_op_name.partition("::")
    if namespace not in _NAMESPACES:
        raise Unencodable(value)
    return [namespace, name, overload]


def _decoded_operator(data: list[str]) -> Any:
    namespace, name, overload = data
    if namespace not in _NAMESPACES:
        raise ValueError(namespace)
    packet = getattr(getattr(torch.ops, namespace), name)
    value = getattr(packet, overload) if overload else packet
    if not isinstance(value, (OpOverload, OpOverloadPacket)):
        raise TypeError(data)
    return value


def _encoded_function(value: Any) -> list[str]:
    place = [value.__module__, value.__name__]
    if value.__module__ not in _FUNCTION_MODULES or _function(place) is not value:
        raise Unencodable(value)
    return place


def _function(place: list[str]) -> Any:
    module, name = place
    if module not in _FUNCTION_MODULES:
        raise ValueError(module)
    value = getattr(sys.modules[module], name)
    if not isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
        raise TypeError(place)
    return value


def _encoded_constant(value: Any) -> str:
    return str(value).removeprefix("torch.")


def _constant(name: str) -> Any:
    value = getattr(torch, name)
    if not isinstance(value, (torch.dtype, torch.memory_format, torch.layout)):
        raise TypeError(name)
    return value


def _encoded_fake(value: FakeTensor) -> list[Any]:
    if value.storage_offset() != 0 or value.layout is not torch.strided:
        raise Unencodable(value)
    return _encoded_items([tuple(value.shape), value.stride(), value.dtype, value.device, value.requires_grad])


def _encoded_source(value: Any) -> list[Any]:
    """Where a node came from; releases before torch 2.6 have no such record."""
    info = value.node_info
    node = None if info is None else (info.name, info.target, info.graph_id)
    return _encoded_items([value.pass_name, _action_values(value.action), node, list(value.from_node)])


def _action_values(actions: Any) -> Any:
    """What a pass did: one action or none in torch 2.6, a list of them later."""
    if isinstance(actions, list):
        return [action.value for action in actions]
    return None if actions is None else actions.value


def _actions(values: Any) -> Any:
    if isinstance(values, list):
        return [traceback.NodeSourceAction(value) for value in values]
    return None if values is None else traceback.NodeSourceAction(values)


def _source(data: list[Any]) -> Any:
    pass_name, actions, node, before = data
    source = traceback.NodeSource(None, pass_name, _actions(actions))
    source.node_info = None if node is None else traceback.NodeSource.NodeInfo(*node)
    source.from_node = before
    return source


_ENCODERS: Final[tuple[tuple[type, str, Callable[[Any], Any]], ...]] = (
    (fx.Node, "node", lambda value: value.name),
    (tuple, "tuple", _encoded_items),
    (list, "list", _encoded_items),
    (fx.immutable_collections.immutable_list, "list", _encoded_items),
    (dict, "dict", _encoded_dict),
    (fx.immutable_collections.immutable_dict, "dict", _encoded_dict),
    (torch.Size, "size", _encoded_items),
    (OpOverload, "operator", _encoded_operator),
    (OpOverloadPacket, "operator", _encoded_operator),
    (types.FunctionType, "function", _encoded_function),
    (types.BuiltinFunctionType, "function", _encoded_function),
    (torch.dtype, "constant", _encoded_constant),
    (torch.memory_format, "constant", _encoded_constant),
    (torch.layout, "constant", _encoded_constant),
    (torch.device, "device", str),
    (FakeTensor, "fake", _encoded_fake),
    (TensorMetadata, "tensor_metadata", _encoded_items),
    *([(traceback.NodeSource, "source", _encoded_source)] if hasattr(traceback, "NodeSource") else []),
)

_DECODERS: Final[dict[str, Callable[[Values, Any], Any]]] = {
    "node": Values.node,
    "tuple": lambda values, data: tuple(values.items(data)),
    "list": Values.items,
    "dict": lambda values, data: {values.decoded(key): values.decoded(item) for key, item in data},
    "size": lambda values, data: torch.Size(values.items(data)),
    "operator": lambda _, data: _decoded_operator(data),
    "function": lambda _, data: _function(data),
    "constant": lambda _, data: _constant(data),
    "device": lambda _, data: torch.device(data),
    "fake": Values.fake,
    "tensor_metadata": lambda values, data: TensorMetadata(*values.items(data)),
    "source": lambda values, data: _source(values.items(data)),
}
