"""A program to plant faults into: its layers by the names of the float model, whichever pipeline made it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, fx, nn

from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.placement import Placement, place
from qatrix.judge.diagnosis.quantizing import quantizes
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import base_name, called_module, constant_value, is_observing, op_name


@dataclass(frozen=True)
class Place:
    """Where a fault can be planted: the layer by its name in the float model, and what plants it there."""

    layer: str
    plant: Callable[[], object]


@dataclass(frozen=True)
class Pair:
    """A value that is quantized and dequantized: the op that quantizes, and those that read its integers."""

    layer: str
    quantize: fx.Node
    dequantizes: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Observed:
    """A fake quantize or observer of a prepared program, and whether it is for a weight."""

    layer: str
    module: nn.Module
    of_weight: bool


@dataclass(frozen=True)
class Program:
    """One program of one pipeline. What it names is found before a fault changes it."""

    module: fx.GraphModule
    layout: Layout

    @cached_property
    def placement(self) -> Placement:
        """Where the program computes the layers of the float model."""
        return place(self.layout, self.module)

    @property
    def nodes(self) -> list[fx.Node]:
        """All nodes, in the order of execution."""
        return list(self.module.graph.nodes)

    def layer_of(self, node: fx.Node) -> str | None:
        """The layer that a node belongs to."""
        key = self.placement.owner.get(node.name)
        return None if key is None else self.layout.sites[key].name

    def last_of(self, node: fx.Node) -> str | None:
        """The last of the layers that a node computes as one, such as the ReLU after a convolution."""
        key = self.placement.owner.get(node.name)
        lasts = (last for last, members in self.placement.fused.items() if key in members)
        last = next(lasts, key)
        return None if last is None else self.layout.sites[last].name

    def kin(self, layer: str) -> frozenset[str]:
        """The layers that may be named in a layer's stead, because a program computes them as one."""
        names = {layer}
        for last, members in self.placement.fused.items():
            chain = {self.layout.sites[key].name for key in (*members, last)}
            names |= chain if layer in chain else set()
        return frozenset(names)

    def pairs(self) -> Iterator[Pair]:
        """The values that are quantized while the program runs, in their order."""
        named = {item.node: item.tensor for item in self.placement.quantizing}
        for node in self.nodes:
            reads = operand(node, 0) if op_name(node).startswith("quantize_per_tensor") else None
            if not isinstance(reads, fx.Node) or reads.op == "get_attr" or node.name not in named:
                continue
            yield Pair(named[node.name], node, tuple(user for user in node.users if quantizes(user)))

    def observed(self) -> Iterator[Observed]:
        """The fake quantizes and observers of a prepared program, also those inside a module that it calls."""
        named = {item.node: item.tensor for item in reversed(self.placement.quantizing)}
        for node in self.nodes:
            module = called_module(node)
            if module is None:
                continue
            if is_observing(module):
                tensor = named.get(node.name, "")
                yield Observed(tensor.removesuffix(".weight"), module, tensor.endswith(".weight"))
            inner = getattr(module, "weight_fake_quant", None)
            layer = self.layer_of(node)
            if isinstance(inner, nn.Module) and layer is not None:
                yield Observed(layer, inner, of_weight=True)

    def ops(self, *names: str) -> Iterator[tuple[str, fx.Node]]:
        """The nodes that compute an op of these names, with their layers; modules go by their class in lower case."""
        for node in self.nodes:
            layer = self.layer_of(node)
            if layer is not None and not quantizes(node) and {op_name(node), base_name(node)} & set(names):
                yield layer, node

    def value_of(self, node: fx.Node) -> Any:
        """The tensor behind a node that reads one of the program."""
        return constant_value(node)

    def hold(self, name: str, value: Tensor) -> str:
        """Keep a tensor in the program; returns the name that it has there."""
        number = sum(held.startswith(name) for held, _ in self.module.named_buffers())
        self.module.register_buffer(f"{name}_{number}", value)
        return f"{name}_{number}"

    def reading(self, before: fx.Node, name: str, value: Tensor) -> fx.Node:
        """A new node before another one that reads a new tensor of the program."""
        held = self.hold(name, value)
        with self.module.graph.inserting_before(before):
            return self.module.graph.get_attr(held)

    def recompile(self) -> None:
        """Make the program's code anew after its graph was changed."""
        self.module.graph.lint()
        self.module.recompile()


def with_argument(node: fx.Node, place: int, value: Any, *, fill: tuple[Any, ...] = ()) -> None:
    """Set a positional argument of a node; `fill` are the defaults of those before it that are not given."""
    args = list(node.args)
    args += list(fill[len(args) : place]) if len(args) < place else []
    if len(args) == place:
        args.append(value)
    args[place] = value
    node.args = tuple(args)


def insert_after(program: Program, node: fx.Node, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
    """A call of a function on a node's value, which everything that read the node reads from now on."""
    with program.module.graph.inserting_after(node):
        made = program.module.graph.call_function(target, (node, *args), kwargs)
    node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)
    program.recompile()
    return made


def bypass(program: Program, node: fx.Node, source: fx.Node) -> None:
    """Let everything that reads a node read its source instead."""
    node.replace_all_uses_with(source)
    program.recompile()
