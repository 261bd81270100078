"""Optimizer steps between prepare and convert, and what two pipelines are compared by after them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from qatrix.declare.spec import Case, Training
from qatrix.execute.passes import forward
from qatrix.execute.steps import Averaging, Steps
from qatrix.judge.outputs import plain
from qatrix.pipelines import Pipeline
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import named_tensors

# Plain stochastic gradient descent: a step changes a parameter by its gradient and nothing else,
# so that two pipelines part only where their gradients do.
LEARNING_RATE: Final = 0.01
_STATISTICS: Final = ("running_mean", "running_var")
_COUNTER: Final = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training gave: losses by step, the rest by the names of the float model.

    `gradients` are those of the first step, `parameters` and `statistics` (of batch norms) as
    they are after the last.
    """

    losses: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    statistics: Mapping[str, Tensor]

    def compared(self) -> dict[str, object]:
        """What two pipelines are compared by, by the names of comparisons."""
        return {
            "train_loss": self.losses,
            "train_gradients": self.gradients,
            "train_parameters": self.parameters,
            "train_statistics": self.statistics,
        }


class FloatNames:
    """What parameters and buffers are called in the float model; a pipeline may give them other names.

    To be made of captured programs, before they are prepared: the prepared ones hold the same tensors.
    """

    def __init__(self, captured: Iterable[nn.Module]) -> None:
        named = [item for part in captured for item in named_tensors(part)]
        # The tensors are kept with their names, since the identity of one that is gone may be given again.
        self._known = {id(tensor): (name, tensor) for name, tensor in named}

    def of_copy(self, program: nn.Module, copied: nn.Module) -> FloatNames:
        """The names of a program's copy, whose tensors are others; the program itself where there is none."""
        if copied is program:
            return self
        names = {own: self._known[id(tensor)][0] for own, tensor in _named(program) if id(tensor) in self._known}
        made = FloatNames(())
        made._known = {id(tensor): (names[own], tensor) for own, tensor in _named(copied) if own in names}
        return made

    def of(self, named: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """The tensors by their names in the float model; one that it does not have keeps its own name."""
        return {self._known.get(id(tensor), (name,))[0]: tensor for name, tensor in named}


def _named(program: nn.Module) -> tuple[tuple[str, Tensor], ...]:
    return (*program.named_parameters(), *program.named_buffers())


def train(
    case: Case,
    training: Training,
    *,
    steps: Steps,
    pipeline: Pipeline,
    inputs: Inputs,
    names: FloatNames,
) -> Trained:
    """Train a prepared program, in place; raises what the pipeline or a step raises.

    What is trained are the parameters of the program that `steps` results in.
    """
    program = steps.program
    if training.observers == "disabled":
        pipeline.disable_observers(program)
    if training.batch_norms == "frozen":
        pipeline.freeze_batch_norms(program)
    parameters = names.of(program.named_parameters())
    losses, gradients = _steps(steps, inputs, parameters, count=training.steps, seed=case.seed)
    # Frozen or in evaluation, the batches are counted on in PT2E and not in FX; nothing reads the count then.
    counts = training.batch_norms == "training" and case.lifecycle != "eval_and_train"
    statistics = _statistics(program, names, (*_STATISTICS, _COUNTER) if counts else _STATISTICS)
    result = steps.result()
    given = names.of_copy(program, result).of(result.named_parameters())
    return Trained(losses=losses, gradients=gradients, parameters=_copied(given), statistics=statistics)


def state_of(program: nn.Module, names: FloatNames) -> Trained:
    """The parameters and statistics of a prepared program as they are, without a step."""
    return Trained(
        losses={},
        gradients={},
        parameters=_copied(names.of(program.named_parameters())),
        statistics=_statistics(program, names, (*_STATISTICS, _COUNTER)),
    )


def _statistics(program: nn.Module, names: FloatNames, kinds: tuple[str, ...]) -> dict[str, Tensor]:
    buffers = names.of(program.named_buffers())
    return _copied({name: buffer for name, buffer in buffers.items() if name.rpartition(".")[2] in kinds})


def train_float(case: Case, training: Training, *, model: nn.Module, inputs: Inputs) -> None:
    """Train the float model, in place, as its quantized versions are trained."""
    if training.batch_norms == "frozen":
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
    steps = Averaging(model, lambda _: nullcontext()) if case.lifecycle == "average" else Steps(model)
    parameters = dict(model.named_parameters())
    _steps(steps, inputs, parameters, count=training.steps, seed=case.seed)
    if steps.result() is model:
        return
    with torch.no_grad():
        for name, average in steps.result().named_parameters():
            parameters[name].copy_(average)


def _steps(
    around: Steps, inputs: Inputs, parameters: Mapping[str, Tensor], *, count: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The losses by step, and the gradients of the first one."""
    optimizer = torch.optim.SGD(parameters.values(), lr=LEARNING_RATE)
    losses: dict[str, Tensor] = {}
    gradients: dict[str, Tensor] = {}
    with torch.enable_grad():
        for step in range(1, count + 1):
            around.before()
            optimizer.zero_grad()
            loss = _loss(forward(around.program, inputs), seed)
            loss.backward()
            losses[f"step {step}"] = loss.detach()
            if step == 1:
                gradients = _copied({name: item.grad for name, item in parameters.items() if item.grad is not None})
            optimizer.step()
            around.after()
    optimizer.zero_grad()
    return losses, gradients


def _loss(outputs: object, seed: int) -> Tensor:
    """The mean squared errors of all outputs, summed up, against targets that the seed draws."""
    # Another seed than that of the inputs, which an output could otherwise equal.
    generator = torch.Generator().manual_seed(seed + 1)
    leaves = (
        leaf for leaf in pytree.tree_leaves(plain(outputs)) if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )
    errors = [nn.functional.mse_loss(leaf, torch.randn(leaf.shape, generator=generator).to(leaf)) for leaf in leaves]
    if not errors:
        msg = "the model has no output to train on: none is a tensor of floating point numbers"
        raise ValueError(msg)
    return torch.stack(errors).sum()


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
