"""What a lifecycle does around the steps of an optimizer: evaluate in between, or average what they give."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.optim.swa_utils import AveragedModel

from qatrix.declare.spec import Case
from qatrix.execute.lifecycles import shared_tensors
from qatrix.execute.passes import forward
from qatrix.judge import graphs
from qatrix.judge.graphs.ops import op_name
from qatrix.pipelines import Pipeline
from qatrix.pipelines.inputs import Inputs

# What an op of these is told, beside tensors, is how it trains and evaluates.
_SWITCHED = ("dropout", "batch_norm")
# An average in another order of additions is off by a few units of its precision for each value that went in.
_ROUNDINGS = 8

Timed = Callable[[str], AbstractContextManager[None]]
Observe = Callable[[str, nn.Module, object], None]


class Steps:
    """The program that is trained, as it is in most cases: nothing is done around its steps."""

    def __init__(self, program: nn.Module) -> None:
        self.program = program

    def before(self) -> None:
        """Do what is due before a step."""

    def after(self) -> None:
        """Do what is due after a step."""

    def result(self) -> nn.Module:
        """The program to go on with once all steps are made."""
        return self.program

    def faults(self) -> Iterator[str]:
        """What is wrong with what was done, in words."""
        return iter(())


@dataclass
class Evaluating(Steps):
    """Evaluates before each step: with observers off, which would see the values of evaluation, too."""

    program: nn.Module
    pipeline: Pipeline
    inputs: Inputs
    observers_off: bool
    timed: Timed
    observe: Observe
    _found: dict[str, None] = field(default_factory=dict)

    def before(self) -> None:
        """Run the program in evaluation, and note what it is afterwards that it was not before."""
        state, told = _state(self.program), _told_to_ops(self.program)
        with self.timed("eval_and_train"):
            if self._observes():
                self.pipeline.disable_observers(self.program)
            self.pipeline.to_eval(self.program)
            self.observe("evaluating", self.program, None)
            with self.pipeline.evaluation():
                forward(self.program, self.inputs)
            self.observe("evaluated", self.program, None)
            self.pipeline.to_train(self.program)
            if not self.observers_off:
                self.pipeline.enable_observers(self.program)
        changed = (name for name, tensor in _state(self.program).items() if not _is_same(state.get(name), tensor))
        self._found |= dict.fromkeys(f"evaluation changes {name}" for name in changed)
        self._found |= dict.fromkeys(_retold(told, _told_to_ops(self.program)))

    def _observes(self) -> bool:
        """Whether there is anything to switch off, which is not so where nothing is quantized."""
        return any(hasattr(module, "observer_enabled") for module in self.program.modules())

    def faults(self) -> Iterator[str]:
        """What evaluation has changed, each once."""
        return iter(self._found)


class Averaging(Steps):
    """Averages the parameters over the steps (`torch.optim.swa_utils.AveragedModel`), and goes on with the average."""

    def __init__(self, program: nn.Module, timed: Timed) -> None:
        super().__init__(program)
        self._timed = timed
        with timed("average"):
            self._averaged = AveragedModel(program)
        self._sums = {name: torch.zeros_like(item, dtype=torch.float64) for name, item in program.named_parameters()}
        self._count = 0

    def after(self) -> None:
        """Take the parameters of this step into the average."""
        with self._timed("average"):
            self._averaged.update_parameters(self.program)
        self._count += 1
        for name, item in self.program.named_parameters():
            self._sums[name] += item.detach().double()

    def result(self) -> nn.Module:
        """The program with the averaged parameters."""
        return self._averaged.module

    def faults(self) -> Iterator[str]:
        """Where the average is none, and what it shares with the program that is trained."""
        made = self.result()
        yield from (f"the average and the trained program share {name}" for name in shared_tensors(self.program, made))
        for name, item in made.named_parameters():
            mean = self._sums[name] / self._count
            allowed = _ROUNDINGS * self._count * torch.finfo(item.dtype).eps * float(mean.abs().max())
            apart = float((item.detach().double() - mean).abs().max())
            if not apart <= allowed:
                yield f"the average of {name} is {apart:.3g} off the mean of its values"


def steps_of(
    case: Case, program: nn.Module, pipeline: Pipeline, inputs: Inputs, timed: Timed, observe: Observe
) -> Steps:
    """What a case's lifecycle does around the steps of a prepared program."""
    if case.lifecycle == "average":
        return Averaging(program, timed)
    if case.lifecycle == "eval_and_train":
        off = case.training is not None and case.training.observers == "disabled"
        return Evaluating(program, pipeline, inputs, observers_off=off, timed=timed, observe=observe)
    return Steps(program)


def _state(program: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers, but for the batches that batch norms count: PT2E counts those of evaluation."""
    named = (*program.named_parameters(), *program.named_buffers())
    return {name: item.detach().clone() for name, item in named if not graphs.is_counter(name)}


def _is_same(one: Tensor | None, other: Tensor) -> bool:
    return one is not None and one.shape == other.shape and bool(torch.equal(one, other))


def _told_to_ops(program: nn.Module) -> list[tuple[str, tuple[object, ...]]]:
    """For each op that trains otherwise than it evaluates its name and the arguments that are no tensors."""
    if not isinstance(program, fx.GraphModule):
        return []
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    named = [(op_name(node), node) for node in nodes]
    return [
        (name, tuple(item for item in node.args if not isinstance(item, fx.Node)))
        for name, node in named
        if any(word in name for word in _SWITCHED)
    ]


def _retold(before: list[tuple[str, tuple[object, ...]]], after: list[tuple[str, tuple[object, ...]]]) -> Iterator[str]:
    """Which ops are told something else after evaluation than before, first of all how many there are."""
    if len(before) != len(after):
        yield f"the program has {len(before)} ops that train before evaluation, and {len(after)} after it"
        return
    for (name, was), (_, now) in zip(before, after):
        if was != now:
            yield f"{name} has the arguments {was} before evaluation, and {now} after it"
