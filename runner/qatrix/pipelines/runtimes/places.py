"""Whose layer a node of a lowered graph is: by the parameters that it reads, and by what the exporter says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

# How the exporter of older releases begins the path of a module.
_ROOT: Final = re.compile(r"^L\['self'\]\.?")
_NUMBER: Final = re.compile(r"_(\d+)$")
_FUSED: Final = "torch.ao.nn.intrinsic"
_OF_TORCH: Final = ("torch.nn.modules", "torch.ao.nn")


@dataclass(frozen=True)
class Places:
    """The layers of a quantized program, by what a lowering keeps of them.

    `scales` has the scales of weights per channel, each with its layer; `ops` the layers of each op of aten in the
    order in which the program calls it. `fused` are the modules that FX has put in the place of a layer, which then is
    the first in them.
    """

    scales: tuple[tuple[Tensor, str], ...]
    fused: frozenset[str]
    ops: tuple[tuple[Any, tuple[str | None, ...]], ...]

    @classmethod
    def of(cls, program: nn.Module) -> Places:
        """The layers of a program of PT2E's, or of FX's reference."""
        nodes = list(program.graph.nodes) if isinstance(program, fx.GraphModule) else []
        by_op: dict[Any, list[str | None]] = {}
        for node in nodes:
            if isinstance(node.target, torch._ops.OpOverload):
                by_op.setdefault(node.target, []).append(next(_by_exporter(node), None))
        of_nodes = [pair for node in nodes for pair in _scales(node)]
        of_modules = [(scale, name) for name, module in program.named_modules() for scale in _own_scale(module)]
        fused = (name for name, module in program.named_modules() if type(module).__module__.startswith(_FUSED))
        ops = tuple((op, tuple(layers)) for op, layers in by_op.items())
        return cls(scales=(*of_nodes, *of_modules), fused=frozenset(fused), ops=ops)

    def of_node(self, node: fx.Node) -> tuple[str, ...]:
        """The layers that a node computes.

        A kernel that stands for several ops has the metadata of the last one: the quantize op, which is no layer, or
        the addition behind a convolution. So its weight's scale and its bias come first.
        """
        said = tuple(_by_exporter(node)) or tuple(self._by_call(node))
        return tuple(dict.fromkeys(self._own_name(name) for name in (*self._by_parameters(node), *said)))

    def _own_name(self, name: str) -> str:
        """The float model's name of a layer: "conv" for "conv.0" where FX has fused conv with what follows."""
        owner = name.rpartition(".")[0]
        return owner if owner in self.fused else name

    def _by_parameters(self, node: fx.Node) -> Iterator[str]:
        for read in _read(node):
            if str(read.target).endswith(".bias"):
                yield str(read.target).rpartition(".")[0]
            tensor = _attribute(read)
            owners = {layer for scale, layer in self.scales if tensor is not None and _equal(scale, tensor)}
            # Two layers may have the same weight.
            if len(owners) == 1:
                yield owners.pop()

    def _by_call(self, node: fx.Node) -> Iterator[str]:
        """The layer of the call that torch.compile names, which counts the calls of each op: "mul_tensor_1"."""
        stack = node.meta.get("source_fn_stack") or ()
        if not stack:
            return
        name, op = stack[-1][:2]
        number = _NUMBER.search(str(name))
        layers = next((layers for known, layers in self.ops if known is op), ())
        index = int(number[1]) if number else 0
        if index < len(layers) and (layer := layers[index]) is not None:
            yield layer


def _scales(node: fx.Node) -> Iterator[tuple[Tensor, str]]:
    """The scale of a weight that a node dequantizes, with the layer that reads the weight."""
    if not str(node.target).startswith("quantized_decomposed.dequantize_per_channel"):
        return
    layer = next((layer for user in node.users for layer in _by_exporter(user)), None)
    scale = node.args[1] if len(node.args) > 1 else None
    tensor = _attribute(scale) if isinstance(scale, fx.Node) else None
    if layer is not None and tensor is not None:
        yield tensor, layer


def _own_scale(module: nn.Module) -> Iterator[Tensor]:
    scale = getattr(module, "weight_scale", None)
    if isinstance(scale, Tensor) and scale.numel() > 1:
        yield scale


def _read(node: fx.Node) -> list[fx.Node]:
    """The attributes that a node reads; a kernel of Inductor's has them among what its pattern matched."""
    return [source for source in node.all_input_nodes if source.op == "get_attr"]


def _attribute(node: fx.Node) -> Tensor | None:
    owner: Any = node.graph.owning_module
    if node.op != "get_attr" or owner is None:
        return None
    for part in str(node.target).split("."):
        owner = getattr(owner, part, None)
    return owner if isinstance(owner, Tensor) else None


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.float(), other.float())


def _by_exporter(node: fx.Node) -> Iterator[str]:
    """The layer that the exporter says a node is from: a module of torch's, or a function within another module."""
    function = _NUMBER.sub("", str((node.meta.get("torch_fn") or ("",))[0]))
    if "quantize" in function or "choose_qparams" in function:
        return
    stack = [entry for entry in (node.meta.get("nn_module_stack") or {}).values() if isinstance(entry, tuple)]
    if not stack:
        return
    path, kind = _ROOT.sub("", str(stack[-1][0])), stack[-1][1]
    home = kind if isinstance(kind, str) else f"{kind.__module__}."
    if path and home.startswith(_OF_TORCH):
        yield path
    elif function:
        yield f"{path}.{function}" if path else function
