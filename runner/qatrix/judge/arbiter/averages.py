"""The ranges that observers average while a program is trained, averaged once more in float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from qatrix.judge.arbiter.specifications import Range
from qatrix.judge.diagnosis.placement import Placement
from qatrix.judge.graphs.ops import called_module, is_observing
from qatrix.judge.wording import specifications as words

# Averages are taken in float32, step by step; a hundredth of the way to a range that hardly moves is little.
_RTOL: Final = 1e-6


@dataclass
class _Average:
    tensor: str
    observer: Any
    range: Range
    constant: float


@dataclass
class Averages:
    """Each observer of a prepared program that averages, by what it is given from now on.

    A moving average goes a constant part of the way to each new least and greatest value:
    torch.ao.quantization.observer.MovingAverageMinMaxObserver. Where observers are not `enabled`, ranges stay, and
    as long as it is `paused`.
    """

    enabled: bool
    paused: bool = False
    _averages: list[_Average] = field(default_factory=list)
    _handles: list[RemovableHandle] = field(default_factory=list)

    @classmethod
    def of(cls, program: fx.GraphModule, placement: Placement, *, enabled: bool) -> Averages:
        """Begin to watch a program's observers."""
        made = cls(enabled)
        for tensor, module in _observers(program, placement).items():
            made._watch(tensor, module)
        return made

    def _watch(self, tensor: str, module: nn.Module) -> None:
        inner: Any = getattr(module, "activation_post_process", module)
        low, high = getattr(inner, "min_val", None), getattr(inner, "max_val", None)
        constant = getattr(inner, "averaging_constant", None)
        if constant is None or not isinstance(low, Tensor) or not isinstance(high, Tensor) or not low.numel():
            return
        if not bool(low.isfinite().all()):
            return
        kept = Range(low=low.detach().double().flatten(), high=high.detach().double().flatten())
        average = _Average(tensor, inner, kept, float(constant))
        self._averages.append(average)
        self._handles.append(module.register_forward_pre_hook(functools.partial(self._seen, average)))

    def _seen(self, average: _Average, _: nn.Module, args: tuple[Any, ...]) -> None:
        if self.paused or not self.enabled or not args or not isinstance(args[0], Tensor):
            return
        axis = getattr(average.observer, "ch_axis", None) if average.range.low.numel() > 1 else None
        now, old = Range.of(args[0], axis), average.range
        if now is not None and now.low.shape == old.low.shape:
            part = average.constant
            average.range = Range(
                low=old.low + part * (now.low - old.low), high=old.high + part * (now.high - old.high)
            )

    def faults(self) -> Iterator[tuple[str, str, str]]:
        """(tensor, quantity, sentence) for each observer whose range is another than the average; ends the watch."""
        for handle in self._handles:
            handle.remove()
        for average in self._averages:
            pairs = ((average.observer.min_val, average.range.low), (average.observer.max_val, average.range.high))
            width = float((average.range.high - average.range.low).abs().max())
            off = max(float((one.detach().double().flatten() - other).abs().max()) for one, other in pairs)
            if off > _RTOL * width:
                yield average.tensor, "scale", words.AVERAGE_IS_OFF(off=off)


def _observers(program: fx.GraphModule, placement: Placement) -> Mapping[str, nn.Module]:
    """The observers and fake quantizes by the tensors that they see, those inside of modules too."""
    nodes = {node.name: node for node in program.graph.nodes}
    found: dict[str, nn.Module] = {}
    for item in placement.quantizing:
        module = called_module(nodes[item.node])
        if module is not None and is_observing(module):
            found.setdefault(item.tensor, module)
    for node in program.graph.nodes:
        module, key = called_module(node) if node.op == "call_module" else None, placement.owner.get(node.name)
        for part in module.modules() if module is not None and key is not None else ():
            faked = getattr(part, "weight_fake_quant", None)
            if isinstance(faked, nn.Module):
                found.setdefault(f"{node.target}.weight", faked)
    return found
