"""The weights that a program uses, held against the float model's: folded, scaled for training, and rounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from qatrix.judge.arbiter.deviations import Findings
from qatrix.judge.arbiter.evaluation import FloatModel
from qatrix.judge.arbiter.folding import Layer, factor_of
from qatrix.judge.arbiter.grids import Grid
from qatrix.judge.arbiter.groups import Group
from qatrix.judge.arbiter.specifications import Range, Specified, weight_faults
from qatrix.judge.diagnosis.parameters import Gauge, Measured
from qatrix.judge.diagnosis.placement import Placement
from qatrix.judge.graphs.layers import fused_parts
from qatrix.judge.graphs.operands import operand
from qatrix.judge.wording import specifications as words
from qatrix.text import counted

# What float32 arithmetic may change of a weight that a batch norm is folded into.
_RTOL = 1e-4
_ATOL = 1e-6


@dataclass(frozen=True)
class Layers:
    """The layers of a group with the weights that its program uses, and the batch norms that are folded into them."""

    layers: Mapping[str, Layer]
    folded: Mapping[str, str]


@dataclass
class Weights:
    """The weights of one program as it runs, by the layer that uses them."""

    model: FloatModel
    placement: Placement
    gauges: Mapping[str, Gauge]
    findings: Findings
    said: Specified | None
    _used: dict[str, Tensor] = field(default_factory=dict)
    _hooks: dict[str, RemovableHandle] = field(default_factory=dict)

    def before(self, key: str, node: fx.Node, given: Mapping[str, object]) -> None:
        """Take down the weight that a node is about to use; a fake quantize inside of it will show its own."""
        if node.op == "call_function":
            source = operand(node, 1)
            value = given.get(source.name) if isinstance(source, fx.Node) else None
            if isinstance(value, Tensor):
                self._used[key] = value.detach().double()
            return
        for part in fused_parts(node):
            faked = getattr(part, "weight_fake_quant", None)
            if isinstance(faked, nn.Module):
                self._hooks[node.name] = faked.register_forward_hook(self._noted(key))
                return
            weight = _weight_of(part)
            if isinstance(weight, Tensor):
                self._used[key] = weight.detach().double()
                return

    def after(self, node: fx.Node) -> None:
        """The node has run."""
        handle = self._hooks.pop(node.name, None)
        if handle is not None:
            handle.remove()

    def _noted(self, key: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def note(_: nn.Module, __: Any, output: Tensor) -> None:
            self._used[key] = output.detach().double()

        return note

    def layers(self, group: Group) -> Layers:
        """The group's layers as the program computes them, once their weights have been judged."""
        layers: dict[str, Layer] = {}
        folded: dict[str, str] = {}
        for key in group.keys:
            layer = self.model.layer(key)
            if layer is None:
                continue
            first = norm = self.model.norm_behind(key)
            while norm is not None and norm in group.keys and not self.model.trains(norm):
                self.model.demand_known(norm)
                layer = layer.folded(self.model.norm(norm))
                folded[norm] = key
                norm = self.model.norm_behind(norm)
            layers[key] = self._judged(group, key, layer, first)
        return Layers(layers, folded)

    def _judged(self, group: Group, key: str, layer: Layer, norm: str | None) -> Layer:
        """The layer with the weight that the program uses; the same rounded here where that does not show."""
        factor = self._factor(group, norm)
        wanted = layer if factor is None else layer.scaled(factor)
        name = self.model.layout.sites[key].name
        measured = self._measured(f"{name}.weight")
        used = self._used.pop(key, None)
        if used is not None and used.shape == wanted.weight.shape:
            self._judge(name, wanted.weight, used, measured)
        else:
            grid = Grid.of(measured)
            used = grid.rounded(wanted.weight) if grid is not None and grid.fits(wanted.weight) else wanted.weight
        made = layer.having(used)
        return made if factor is None else made.scaled(1 / factor)

    def bias(self, name: str, bias: Tensor) -> Tensor:
        """A bias as the program quantizes it, if it does; a derived one is not rounded before convert."""
        measured = self._measured(f"{name}.bias")
        if measured is None or not self._rounds(measured):
            return bias
        # That of an accumulator has a range that is wider than float32 tells apart, and integers that are not.
        grid = Grid.of(measured, most=None)
        return bias if grid is None else grid.rounded(bias)

    def _rounds(self, measured: Measured) -> bool:
        return self.findings.at == "convert" or measured.faked

    def _factor(self, group: Group, norm: str | None) -> Tensor | None:
        """What a weight is multiplied with in training before it is quantized, and the layer's value divided by."""
        if norm is None:
            return None
        # The ops of the simulation may still be there once it is over.
        simulated = norm in self.placement.factor_eps or (norm in group.keys and self.model.trains(norm))
        if not simulated:
            return None
        return factor_of(self.model.norm(norm))

    def _measured(self, tensor: str) -> Measured | None:
        """How a tensor is quantized as the program is now."""
        gauge = self.gauges.get(tensor)
        return None if gauge is None else gauge()

    def _judge(self, name: str, wanted: Tensor, used: Tensor, measured: Measured | None) -> None:
        if measured is not None and measured.group is not None:
            # Each group in a row of its own is a channel.
            wanted, used = (value.reshape(-1, measured.group) for value in (wanted, used))
        grid = Grid.of(measured)
        converted = self.findings.at == "convert"
        rounded = measured is not None and self._rounds(measured)
        if rounded and grid is None:
            return
        if measured is None or grid is None or not rounded:
            if not torch.allclose(used, wanted, rtol=_RTOL, atol=_ATOL * float(wanted.abs().amax())):
                self.findings.tell(name, "weight", words.WEIGHT_IS_OFF(off=_furthest(used, wanted)))
            return
        if grid.fits(wanted) and (count := int(grid.misses(wanted, used).sum())):
            told = words.WEIGHT_NOT_ROUNDED(
                count=count,
                values=counted(used.numel(), "value"),
                are="is" if count == 1 else "are",
                off=_furthest(used, wanted),
            )
            self.findings.tell(name, "weight", told)
        seen = Range.of(wanted, measured.parameters.ch_axis) if converted else None
        if seen is not None:
            said = None if self.said is None else self.said.tensors.get(f"{name}.weight")
            for quantity, sentence in weight_faults(said, measured, seen):
                self.findings.tell(f"{name}.weight", quantity, sentence)


def _furthest(used: Tensor, wanted: Tensor) -> str:
    return f"{float((used - wanted).abs().max()):.3g}"


def _weight_of(part: Any) -> object:
    """The weight that a module computes with: that of a reference module is its integers', dequantized."""
    return part.get_weight() if hasattr(part, "get_weight") else getattr(part, "weight", None)
