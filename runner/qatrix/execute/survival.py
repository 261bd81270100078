"""Whether what a lifecycle makes of a pipeline's programs gives what these give without it, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qatrix.claims import SURVIVES_LIFECYCLE, Tolerance
from qatrix.declare.spec import Case
from qatrix.execute.captures import Captures
from qatrix.execute.lifecycles import CALLS, Faults
from qatrix.execute.passes import forward, kept
from qatrix.execute.sight import Sight, float_reference
from qatrix.execute.soundness import outcome_of
from qatrix.execute.stages import run_stages
from qatrix.execute.state import State
from qatrix.execute.training import Trained
from qatrix.judge import graphs, numerics
from qatrix.outcomes import COMPARED, OTHERWISE, REPEATED, CheckOutcome, PipelineOutcome
from qatrix.pipelines import Pipeline
from qatrix.pipelines.inputs import Batches
from qatrix.pipelines.models import build_model

_BITS: Final = Tolerance(name="exact", rtol=0, atol=0)
# What an average of the parameters is there to change.
_AVERAGED: Final = frozenset({"train_parameters", "convert"})


def checks_of_lifecycle(
    case: Case,
    outcome: PipelineOutcome,
    pipeline: Pipeline,
    batches: Batches,
    seen: tuple[Sight, State],
    captures: Captures | None = None,
) -> list[CheckOutcome]:
    """The check of a case's lifecycle on one pipeline, which runs once more without it; none where it failed.

    `seen` is what was seen of it with the lifecycle, and the state that the float model keeps.
    """
    if case.lifecycle == "none" or outcome.status != "ok":
        return []
    sight, state = seen
    faults = list(sight.lifecycle_faults)
    if case.lifecycle == REPEATED:
        faults += _unlike_float(case, batches, sight.outputs.get(REPEATED))
    else:
        plain = _Outputs()
        without = replace(case, lifecycle="none", checks=())
        # Programs begin with the state that they begin with in the case itself.
        ran = run_stages(without, outcome.pipeline, pipeline, batches, plain, captures=captures, run=state.run)
        faults += _unlike_plain(case, sight, ran, plain)
    return [outcome_of(SURVIVES_LIFECYCLE, outcome.pipeline, faults)]


def _unlike_plain(case: Case, sight: Sight, outcome: PipelineOutcome, plain: _Outputs) -> Iterator[str]:
    """Where a pipeline gives something else with the lifecycle than in the plain run without it."""
    if outcome.status != "ok":
        because = outcome.reason or (outcome.error.message if outcome.error else "")
        yield f"without {case.lifecycle} it does not run at all: {because}"
        return
    for point, where in COMPARED.items():
        if point not in plain.outputs or (case.lifecycle == "average" and point in _AVERAGED):
            continue
        names = (f"with {case.lifecycle}", "without")
        with_it, without = (_uncounted(outputs.get(point)) for outputs in (sight.outputs, plain.outputs))
        same = numerics.compare(with_it, without, at=point, names=names, tolerance=_BITS)
        if same.status != "exact":
            at = "" if same.max_abs_at is None else f" at {same.max_abs_at}"
            yield f"{where} {OTHERWISE} without {case.lifecycle}: {same.message or f'{same.max_abs:.3g} apart{at}'}"


def _uncounted(outputs: object) -> object:
    """The same without how many batches the batch norms have counted, which PT2E does in evaluation, too."""
    if not isinstance(outputs, dict):
        return outputs
    return {name: item for name, item in outputs.items() if not graphs.is_counter(str(name))}


@dataclass
class _Outputs:
    """Notes what a pipeline gives at each point."""

    outputs: dict[str, object] = field(default_factory=dict)

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        """Keep the outputs of a point where there are any to be compared."""
        del program
        if isinstance(outputs, Trained):
            self.outputs |= outputs.compared() if point == "train" else {}
        elif outputs is not None and not isinstance(outputs, Faults):
            self.outputs[point] = kept(outputs)


def _unlike_float(case: Case, batches: Batches, calls: object) -> Iterator[str]:
    """The calls that move a program's outputs otherwise than the float model's, both against their first call.

    What does not move in the float model stands still. What does moves in the same direction, so that the error is
    smaller than the move itself.
    """
    expected = _float_calls(case, batches)
    if not isinstance(calls, tuple):
        return
    for number in range(1, len(expected)):
        if not _moves_alike((expected[0], expected[number]), (calls[0], calls[number])):
            yield f"call {number + 1} gives something else than the float model's call {number + 1}"


def _float_calls(case: Case, batches: Batches) -> list[object]:
    model = build_model(case).to(case.device.torch)
    _, state = float_reference(case, model, batches)
    graphs.restore_state(model, state.before)
    with torch.no_grad():
        return [kept(forward(model, batches.first)) for _ in range(CALLS)]


def _moves_alike(expected: tuple[object, object], found: tuple[object, object]) -> bool:
    wanted, moved = (list(_moves(*pair)) for pair in (expected, found))
    if len(wanted) != len(moved) or any(one.shape != other.shape for one, other in zip(wanted, moved)):
        return False
    errors = [float((one - other).norm()) for one, other in zip(wanted, moved)]
    return all(error == 0 or error < float(one.norm()) for error, one in zip(errors, wanted))


def _moves(first: object, later: object) -> Iterator[Tensor]:
    """By how much each tensor has moved."""
    for one, other in zip(pytree.tree_leaves(first), pytree.tree_leaves(later)):
        if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape:
            yield other.double() - one.double()
