"""What the float model reads and changes in evaluation, and a converted one has to read and change alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor, nn

from qatrix.execute.passes import FORWARD_SEED, forward, kept
from qatrix.execute.reads import Reads, reads_of
from qatrix.judge import graphs
from qatrix.pipelines.inputs import Inputs

# A state that stands still after one call, or is one call late, shows in a few.
_CALLS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Larger:
    """Inputs that are twice as long along the free axes, and the float model's outputs for them and as declared."""

    inputs: Inputs
    outputs: object
    declared: object


@dataclass(frozen=True)
class State:
    """The buffers that the float model changes in evaluation: before any call, and after each of a few.

    Most models change none. `larger` is how it runs on larger inputs, None where no axis of the inputs is free.
    `reads` is what it reads of parameters and buffers, None where that is not known.
    """

    before: Mapping[str, Tensor] = field(default_factory=dict)
    after: tuple[Mapping[str, Tensor], ...] = ()
    reads: Reads | None = None
    larger: Larger | None = None

    def run(self, program: nn.Module, inputs: Inputs, *, seed: int = FORWARD_SEED) -> object:
        """The outputs of a program whose state is what it was before any call."""
        graphs.restore_state(program, self.before)
        return forward(program, inputs, seed=seed)

    def faults(self, program: nn.Module, inputs: Inputs) -> list[str]:
        """How a program changes its state otherwise than the float model, in as many calls; the first fault of each."""
        if not self.before:
            return []
        found: dict[str, str] = {}
        last = self.before
        graphs.restore_state(program, last)
        for number, expected in enumerate(self.after, start=1):
            start = graphs.state_of(program)
            forward(program, inputs)
            end = graphs.state_of(program)
            for name, value in expected.items():
                if name not in end:
                    found.setdefault(name, f"{name} is not there, and the float model changes it")
                elif not _moves_alike(value, last[name], end[name], start[name]):
                    found.setdefault(name, f"{name} changes differently than in the float model, at call {number}")
            last = expected
        return list(found.values())


def state_of_float(model: nn.Module, inputs: Inputs) -> tuple[object, State]:
    """The outputs of a float model in evaluation, and the state that it reads and keeps; counters are none."""
    before = graphs.state_of(model)
    outputs = kept(forward(model, inputs))
    changed = [name for name in graphs.changed_state(before, model) if not graphs.is_counter(name)]
    if not changed:
        return outputs, State(reads=reads_of(model, inputs))
    after = [graphs.state_of(model)]
    for _ in range(_CALLS - 1):
        forward(model, inputs)
        after.append(graphs.state_of(model))
    moved = tuple({name: values[name] for name in changed} for values in after)
    return outputs, State({name: before[name] for name in changed}, moved, reads_of(model, inputs))


def _moves_alike(expected: Tensor, expected_before: Tensor, found: Tensor, found_before: Tensor) -> bool:
    """Whether a buffer of a quantized model moves as the float model's does.

    Integers are the same; what is computed from quantized values moves in the same direction, so
    that its error is smaller than the move itself.
    """
    if expected.shape != found.shape or expected.dtype != found.dtype:
        return False
    if not expected.is_floating_point():
        return bool((expected == found).all())
    wanted = (expected - expected_before).double()
    error = (found - found_before).double() - wanted
    return bool(error.norm() < wanted.norm()) or bool((error == 0).all())
