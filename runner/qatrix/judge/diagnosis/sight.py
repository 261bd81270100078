"""What is known of one pipeline's program at one point, taken before a later stage changes it in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from qatrix.diagnoses import GraphLine
from qatrix.judge.diagnosis.drawing import drawing_nodes
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.parameters import Measured, measure
from qatrix.judge.diagnosis.placement import Placement, Probe
from qatrix.judge.diagnosis.quantizing import quantizes
from qatrix.judge.graphs.operands import operands
from qatrix.judge.graphs.ops import called_module, op_name


class Values(Protocol):
    """Recorded values by where they were seen."""

    def get(self, probe: Probe) -> object:
        """The value, None where none was recorded."""


@dataclass(frozen=True, kw_only=True)
class Norm:
    """A batch norm as a program computes it: its settings; None where the program does not tell.

    `factor_eps` is the eps in the scale factor of a fused convolution, `training` whether it
    normalizes with the statistics of the batch.
    """

    eps: float | None
    momentum: float | None
    training: bool
    factor_eps: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sight:
    """One program: where it computes the layers, how it quantizes, its values, its graph as text.

    `modules` maps the path of each module that is called to the sites of its calls, `unpadded` a
    convolution whose padding mode its module never reads to that module, `random` a layer that
    draws random numbers to the op that does, `labels` a node's name to its op and name.
    `raw_reads` are the pairs of sites of which the second reads the first as it is, though the
    program quantizes it for others. `opaque` says that unknown code has made the program, so that what it
    quantizes, and how, may be in none of its nodes.
    """

    pipeline: str
    placement: Placement
    values: Values
    outputs: object
    tensors: Mapping[str, Measured]
    norms: Mapping[str, Norm]
    unpadded: Mapping[str, str]
    modules: Mapping[str, tuple[str, ...]]
    random: Mapping[str, str]
    raw_reads: frozenset[tuple[str, str]]
    labels: Mapping[str, str]
    lines: tuple[GraphLine, ...]
    opaque: bool = False

    @property
    def idle(self) -> bool:
        """Whether the program quantizes nothing."""
        return all(measured.deferred for measured in self.tensors.values())

    def computed(self, key: str) -> object:
        """What the program computes at a site, None where it has no node for it."""
        probe = self.placement.computed.get(key)
        return None if probe is None else self.values.get(probe)

    def quantizes(self, key: str) -> bool:
        """Whether the program quantizes a site's value, or fakes it; an observer changes no value."""
        item = self.placement.quantized.get(key)
        return item is not None and item.kind != "observer"

    def quantizes_at(self, key: str, name: str) -> bool:
        """Whether the program quantizes anything of a layer: its output, its weight, or an input inside it."""
        return key in self.placement.quantized or any(f"{name}.{part}" in self.tensors for part in ("weight", "input"))

    def quantized(self, key: str) -> object:
        """A site's value after quantization, as other layers read it; None where it is not quantized."""
        item = self.placement.quantized.get(key)
        if item is None or item.kind == "observer" or item.passed_on is None:
            return None
        return self.values.get(Probe(node=item.passed_on))

    def codes(self, key: str) -> Tensor | None:
        """A site's integers, None where the program does not quantize it in integers."""
        item = self.placement.quantized.get(key)
        if item is None or item.kind != "quantize":
            return None
        codes = self.values.get(Probe(node=item.node))
        return codes if isinstance(codes, Tensor) else None

    def step(self, key: str) -> float | None:
        """The quantization step of a site's value, None where it has none, or one per channel."""
        item = self.placement.quantized.get(key)
        measured = self.tensors.get(item.tensor) if item is not None else None
        if measured is None or measured.scale is None or measured.scale.numel() != 1:
            return None
        return float(measured.scale)


def examine(
    pipeline: str, program: fx.GraphModule, layout: Layout, placement: Placement, values: Values, outputs: object
) -> Sight:
    """All that later questions need of a program."""
    return Sight(
        pipeline=pipeline,
        placement=placement,
        values=values,
        # With their history of autograd they would keep every value of the forward alive.
        outputs=pytree.tree_map(lambda item: item.detach() if isinstance(item, Tensor) else item, outputs),
        tensors=measure(program, placement, layout),
        norms=_norms(program, placement, layout),
        unpadded=_unpadded(program, placement, layout),
        modules=_modules(program, placement),
        random={
            placement.owner[name]: _label(node)
            for name, node in drawing_nodes(program).items()
            if name in placement.owner
        },
        raw_reads=frozenset(_raw_reads(program, placement)),
        labels={node.name: _label(node) for node in program.graph.nodes},
        lines=graph_lines(program, layout, placement),
    )


def graph_lines(program: fx.GraphModule, layout: Layout, placement: Placement) -> tuple[GraphLine, ...]:
    """A program's graph as text, node by node, each with the layer that it belongs to."""
    return tuple(_line(node, placement, layout) for node in program.graph.nodes)


def _norms(program: fx.GraphModule, placement: Placement, layout: Layout) -> dict[str, Norm]:
    """The settings of every batch norm that the program still computes, by site."""
    found: dict[str, Norm] = {}
    for node in program.graph.nodes:
        key = placement.owner.get(node.name)
        if key is None:
            continue
        if op_name(node) == "batch_norm":
            # Not every batch norm of aten has them all: some only evaluate.
            given = operands(node)
            found[key] = Norm(
                eps=_number(given.get("eps")),
                momentum=_number(given.get("momentum")),
                training=bool(given.get("training")),
                factor_eps=placement.factor_eps.get(key),
            )
        module = called_module(node) if node.op == "call_module" else None
        inner = _batch_norm(module)
        if inner is not None:
            found[_norm_site(placement, layout, key)] = Norm(
                eps=inner.eps, momentum=inner.momentum, training=inner.training
            )
    return found


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _modules(program: fx.GraphModule, placement: Placement) -> dict[str, tuple[str, ...]]:
    called: dict[str, tuple[str, ...]] = {}
    for node in program.graph.nodes:
        key = placement.owner.get(node.name)
        if node.op == "call_module" and key is not None and not quantizes(node):
            called[str(node.target)] = (*called.get(str(node.target), ()), key)
    return called


def _batch_norm(module: nn.Module | None) -> Any:
    """A module that is a batch norm, or the one inside a fused module; None where there is none."""
    parts = list(module.modules()) if module is not None else []
    return next((part for part in parts if hasattr(part, "running_var") and hasattr(part, "momentum")), None)


def _norm_site(placement: Placement, layout: Layout, key: str) -> str:
    """The batch norm that a fused module computes; the site itself where nothing is fused."""
    for last, merged in placement.fused.items():
        chain = (*merged, last)
        if key == chain[0]:
            return next((member for member in chain if "momentum" in layout.sites[member].facts), key)
    return key


def _raw_reads(program: fx.GraphModule, placement: Placement) -> Iterator[tuple[str, str]]:
    bearers = {placement.computed[key].node: key for key in placement.quantized if key in placement.computed}
    for node in program.graph.nodes:
        reader = placement.owner.get(node.name)
        if reader is not None and not quantizes(node):
            yield from ((bearers[item.name], reader) for item in node.all_input_nodes if item.name in bearers)


def _unpadded(program: fx.GraphModule, placement: Placement, layout: Layout) -> dict[str, str]:
    """Convolutions with a padding mode that their module's forward never reads, and that module's name."""
    found = {}
    for node in program.graph.nodes:
        key = placement.owner.get(node.name)
        module = called_module(node) if node.op == "call_module" else None
        if key is None or module is None:
            continue
        for part in module.modules():
            mode = getattr(part, "padding_mode", "zeros")
            if mode != "zeros" and not _reads_padding_mode(part):
                found[key] = f"{type(part).__module__}.{type(part).__name__}"
    return {key: name for key, name in found.items() if layout.sites[key].facts.get("padding_mode", "zeros") != "zeros"}


def _reads_padding_mode(module: nn.Module) -> bool:
    """Whether the code of a convolution's forward, and of the methods that it calls, asks for the padding mode."""
    waiting, seen = ["forward"], set[str]()
    while waiting:
        name = waiting.pop()
        code = getattr(getattr(type(module), name, None), "__code__", None)
        if code is None or name in seen:
            continue
        seen.add(name)
        if "padding_mode" in code.co_names:
            return True
        waiting += code.co_names
    return False


def _label(node: fx.Node) -> str:
    name = op_name(node)
    if node.op == "call_module":
        name = type(called_module(node)).__name__
    elif isinstance(node.target, torch._ops.OpOverload):
        name = f"{node.target.namespace}.{node.target.overloadpacket.__name__}"
    return name if name == node.name else f"{name} ({node.name})"


def _line(node: fx.Node, placement: Placement, layout: Layout) -> GraphLine:
    key = placement.owner.get(node.name)
    return GraphLine(text=_text(node), layer=layout.sites[key].name if key is not None else None)


def _text(node: fx.Node) -> str:
    if node.op == "placeholder":
        return f"{node.name} = input"
    if node.op == "get_attr":
        return f"{node.name} = constant {node.target}"
    arguments = ", ".join(
        [*map(_shown, node.args), *(f"{name}={_shown(value)}" for name, value in node.kwargs.items())]
    )
    if node.op == "output":
        return f"return {arguments}"
    label = (
        str(node.target)
        if node.op == "call_function" and "." in str(node.target) and "<" not in str(node.target)
        else op_name(node)
    )
    if node.op == "call_module":
        label = f"{type(called_module(node)).__name__}[{node.target}]"
    return f"{node.name} = {label}({arguments})"


def _shown(value: object) -> str:
    shown = pytree.tree_map(lambda item: _Name(item.name) if isinstance(item, fx.Node) else item, value)
    return repr(shown)


class _Name(str):
    """Text that shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
