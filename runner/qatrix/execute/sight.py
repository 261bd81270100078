"""What was seen of one pipeline's program on its way, and who looks."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from qatrix.claims import GraphCheck
from qatrix.declare.spec import Case
from qatrix.execute import quality, soundness
from qatrix.execute.arbitration import Arbitration
from qatrix.execute.lifecycles import Faults
from qatrix.execute.passes import forward, kept, set_training
from qatrix.execute.quality import Measure, trains
from qatrix.execute.state import State, state_of_float
from qatrix.execute.training import Trained, train_float
from qatrix.judge import graphs, numerics
from qatrix.outcomes import CheckOutcome, PipelineOutcome
from qatrix.pipelines.inputs import Batches, Inputs


@dataclass
class Sight:
    """Outputs and their quantization steps by point, the checks that were made, counts.

    `losses` tells what the converted program's quantize ops lose, None where it did not run here.

    `lifecycle_faults` are what is wrong with the steps of a case's lifecycle by themselves.
    `float_differs` says that the float model gave other bits where this was seen than here.
    """

    outputs: dict[str, object] = field(default_factory=dict)
    steps: dict[str, list[float | None]] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    fake_quantizes: int | None = None
    quantized_weights: int = 0
    ops: graphs.OpCounts | None = None
    integer_ops: int | None = None
    float_differs: bool = False
    lifecycle_faults: tuple[str, ...] = ()
    losses: Measure | None = None


@dataclass
class Onlooker:
    """Sees one pipeline's program at each point, before a later stage changes it in place."""

    case: Case
    pipeline: str
    inputs: Inputs
    sight: Sight
    state: State
    arbitration: Arbitration

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        """Note what there is to see; a converted program is run once more."""
        sight = self.sight
        self.arbitration.observe(point, outputs)
        if point in {"calibrate", "evaluating", "evaluated"}:
            return
        if isinstance(outputs, Trained):
            sight.outputs |= outputs.compared()
            return
        if isinstance(outputs, Faults):
            sight.lifecycle_faults = outputs.found
            return
        outputs = kept(outputs)
        if point != "prepare" or self.case.calibration_batches != 0:
            sight.outputs[point] = outputs
        sight.checks += [graphs.run_check(check, program, self.pipeline) for check in self._due(point)]
        if point == "prepare":
            sight.steps[point] = graphs.output_steps(program)
            sight.fake_quantizes = graphs.count_fake_quantizes(program)
            sight.quantized_weights = graphs.quantized_weights(program)
            sight.checks += soundness.of_prepared(self.case, self.pipeline, program)
        elif point == "convert":
            sight.steps[point] = graphs.output_steps(program)
            sight.ops = graphs.count_ops(program)
            if soundness.computes_in_integers(self.case, self.pipeline):
                sight.integer_ops = graphs.integer_ops(program)
            else:
                sight.losses = functools.partial(quality.losses, program, self.inputs)
            sight.checks += soundness.of_converted(
                self.case,
                self.pipeline,
                program,
                inputs=self.inputs,
                state=self.state,
                outputs=outputs,
                prepared_weights=sight.quantized_weights,
            )
            specified = self.arbitration.check()
            sight.checks += [] if specified is None else [specified]

    def _due(self, point: str) -> list[GraphCheck]:
        return [check for check in self.case.checks if check.at == point and self.pipeline in check.pipelines]


def with_counts(outcome: PipelineOutcome, sight: Sight, reference: object) -> PipelineOutcome:
    """The outcome with what was counted, and its SQNR against the float model's outputs and what varies in them."""
    outcome = replace(outcome, fake_quantizes=sight.fake_quantizes)
    if sight.ops is None:
        return outcome
    sqnr, note = numerics.sqnr_db(reference, sight.outputs["convert"])
    return replace(
        outcome,
        quantize_ops=sight.ops.quantize,
        dequantize_ops=sight.ops.dequantize,
        batch_norms_left=sight.ops.batch_norms,
        integer_ops=sight.integer_ops,
        sqnr_db=sqnr,
        variation_db=numerics.variation_db(reference, sight.outputs["convert"]),
        notes=(*outcome.notes, *([] if note is None else [note]), *_not_judged(sight)),
    )


def _not_judged(sight: Sight) -> tuple[str, ...]:
    """What nobody can say of a program that computes in integers."""
    return () if sight.integer_ops is None else (soundness.NOT_JUDGED,)


def float_reference(case: Case, model: nn.Module, batches: Batches) -> tuple[object, State]:
    """The float model's outputs in eval mode, after the training forward and the steps that QAT makes too.

    And the state that it keeps in eval mode. The model is trained in place.
    """
    with torch.no_grad():
        if trains(case):
            for batch in batches.calibrating:
                forward(model, batch)
        if case.training is not None:
            train_float(case, case.training, model=model, inputs=batches.first)
        set_training(model, False)
        return state_of_float(model, batches.first)
