"""The nodes of a program that round, observe or dequantize, held against what they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx

from qatrix.judge.arbiter.deviations import Findings
from qatrix.judge.arbiter.grids import Grid
from qatrix.judge.arbiter.specifications import Range, observed_faults, observes_extremes
from qatrix.judge.diagnosis.parameters import Measured, of_observer
from qatrix.judge.diagnosis.placement import Placement
from qatrix.judge.graphs.ops import called_module, is_observing, module_name, op_name
from qatrix.judge.wording import specifications as words
from qatrix.text import counted


@dataclass
class Rounding:
    """What a program's fake quantizes, observers, quantize and dequantize ops do as it runs."""

    placement: Placement
    findings: Findings
    _given: dict[str, Tensor] = field(default_factory=dict)
    _grids: dict[str, Grid] = field(default_factory=dict)
    _observed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tensors = {item.node: item.tensor for item in reversed(self.placement.quantizing)}

    def before(self, node: fx.Node, args: tuple[Any, ...]) -> None:
        """Take down what is about to be rounded."""
        if _rounds(node) and args and isinstance(args[0], Tensor):
            self._given[node.name] = args[0].detach().double()

    def after(self, node: fx.Node, args: tuple[Any, ...], value: object) -> None:
        """Hold what a node gave against what it was given."""
        if op_name(node).startswith("dequantize_per"):
            self._dequantized(node, args)
            return
        given = self._given.pop(node.name, None)
        if given is None or not isinstance(value, Tensor):
            return
        module = called_module(node) if node.op == "call_module" else None
        if module is None:
            grid = Grid.of_op(args, per_channel="per_channel" in op_name(node))
            if grid is not None:
                self._grids[node.name] = grid
        elif module_name(module) == "observer" and not observes_extremes(module):
            # A histogram is searched for its range, which takes long and tells nothing here.
            return
        else:
            measured = of_observer(module)
            self._judge_range(node, id(module), measured, given)
            grid = Grid.of(measured) if module_name(module) == "fake_quantize" else None
        if grid is not None and grid.fits(given):
            self._judge(node, grid, given, value.detach())

    def _judge(self, node: fx.Node, grid: Grid, given: Tensor, value: Tensor) -> None:
        missed = grid.misses(given, value) if value.is_floating_point() else grid.missed_codes(given, value)
        if count := int(missed.sum()):
            told = words.NOT_ROUNDED(
                count=count, values=counted(given.numel(), "value"), are="is" if count == 1 else "are"
            )
            self.findings.tell(self._tensor(node), "rounding", told)

    def _judge_range(self, node: fx.Node, observer: int, measured: Measured, given: Tensor) -> None:
        """Hold an observer's parameters against what it has seen first; later it may average."""
        if observer in self._observed or Grid.of(measured) is None:
            return
        self._observed.add(observer)
        seen = Range.of(given, measured.parameters.ch_axis)
        for quantity, sentence in observed_faults(measured, seen) if seen is not None else ():
            self.findings.tell(self._tensor(node), quantity, sentence)

    def _dequantized(self, node: fx.Node, args: tuple[Any, ...]) -> None:
        """Integers stand for what they were made of: with the scale and the zero point that rounded them."""
        source = node.args[0] if node.args else None
        made = self._grids.get(source.name) if isinstance(source, fx.Node) else None
        used = Grid.of_op(args, per_channel="per_channel" in op_name(node))
        if made is None or used is None or not isinstance(source, fx.Node):
            return
        for quantity, one, other in _differences(made, used):
            told = words.DEQUANTIZED_OTHERWISE(quantity=quantity, quantized=one, dequantized=other)
            self.findings.tell(self._tensor(source), quantity, told)

    def _tensor(self, node: fx.Node) -> str:
        return self._tensors.get(node.name, node.name)


def _differences(made: Grid, used: Grid) -> list[tuple[str, object, object]]:
    pairs: Mapping[str, tuple[Tensor, Tensor]] = {
        "scale": (made.scale, used.scale),
        "zero point": (made.zero_point, used.zero_point),
    }
    found: list[tuple[str, object, object]] = [
        (name, one.flatten()[0].item(), other.flatten()[0].item())
        for name, (one, other) in pairs.items()
        if not torch.equal(one, other)
    ]
    if made.axis != used.axis:
        found.append(("axis", made.axis, used.axis))
    return found


def _rounds(node: fx.Node) -> bool:
    """Whether a node rounds what it reads, or observes it so that others can."""
    if node.op == "call_module":
        module = called_module(node)
        return module is not None and is_observing(module)
    return op_name(node).startswith("quantize_per")
