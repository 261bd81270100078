"""What was seen of one pipeline's program on its way, and who looks."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import nn

from qatrix.claims import GraphCheck, Tolerance
from qatrix.declare.spec import Case
from qatrix.diagnoses import GraphText
from qatrix.execute import quality, soundness
from qatrix.execute.arbitration import Arbitration
from qatrix.execute.deployment import Deployed
from qatrix.execute.lifecycles import Faults
from qatrix.execute.passes import forward, kept, set_training
from qatrix.execute.quality import Measure, trains
from qatrix.execute.sizes import of_other_size, with_larger
from qatrix.execute.state import State, state_of_float
from qatrix.execute.training import Trained, train_float
from qatrix.judge import graphs, numerics
from qatrix.outcomes import CheckOutcome, PipelineOutcome
from qatrix.pipelines.inputs import Batches, Inputs

# Noise that is quieter is that of float32 itself: one rounding has 144 dB, and quantizing to 16 bits about 98.
_ROUNDING_DB: Final = 110.0


@dataclass
class Sight:
    """Outputs and their quantization steps by point, the checks that were made, counts.

    `losses` tells what the converted program's quantize ops lose, None where it did not run here.

    `lifecycle_faults` are what is wrong with the steps of a case's lifecycle by themselves.
    `deployed` is what ran in the case's runtime, None where that is the reference.
    `graph` is the converted program's, as far as the arbiter followed it.
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
    deployed: Deployed | None = None
    graph: GraphText | None = None


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
        if isinstance(outputs, Deployed):
            sight.deployed, sight.outputs[point] = outputs, outputs.outputs
            sight.checks += outputs.checks
            return
        outputs = kept(outputs)
        if point != "prepare" or self.case.calibration_batches != 0:
            sight.outputs[point] = outputs
        sight.checks += [graphs.run_check(check, program, self.pipeline) for check in self._due(point)]
        if point == "prepare":
            sight.steps[point] = graphs.output_steps(program)
            # Unknown code may have observers of its own, or none and quantize all the same.
            sight.fake_quantizes = graphs.count_fake_quantizes(program) or self._none
            sight.quantized_weights = graphs.quantized_weights(program)
            sight.checks += soundness.of_prepared(self.case, self.pipeline, program)
        elif point == "convert":
            sight.steps[point] = graphs.output_steps(program)
            counts = graphs.count_ops(program)
            sight.ops = counts if self._none == 0 or counts.quantize + counts.dequantize else None
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
            sight.checks += of_other_size(self.case, self.pipeline, program, self.state, outputs)
            sight.graph = self.arbitration.graph()
            specified = self.arbitration.check()
            sight.checks += [] if specified is None else [specified]

    @property
    def _none(self) -> int | None:
        """What it means that nothing is counted: that nothing is there, or that it is not known."""
        return None if self.pipeline in self.case.own_pipelines else 0

    def _due(self, point: str) -> list[GraphCheck]:
        return [check for check in self.case.checks if check.at == point and self.pipeline in check.pipelines]


def with_counts(outcome: PipelineOutcome, sight: Sight, reference: object) -> PipelineOutcome:
    """The outcome with what was counted, and its SQNR against the float model's outputs and what varies in them."""
    outcome = replace(outcome, fake_quantizes=sight.fake_quantizes)
    if "convert" not in sight.outputs:
        return outcome
    if sight.deployed is not None:
        outcome = replace(outcome, lowering=sight.deployed.lowering(reference))
    outputs = sight.outputs["convert"]
    sqnr, note = numerics.sqnr_db(reference, outputs)
    outcome = replace(
        outcome,
        sqnr_db=sqnr,
        variation_db=numerics.variation_db(reference, outputs),
        notes=outcome.notes if note is None else (*outcome.notes, note),
    )
    if sight.ops is None:
        return replace(outcome, keeps_float=_is_same(reference, outputs) or (sqnr is not None and sqnr > _ROUNDING_DB))
    return replace(
        outcome,
        quantize_ops=sight.ops.quantize,
        dequantize_ops=sight.ops.dequantize,
        batch_norms_left=sight.ops.batch_norms,
        integer_ops=sight.integer_ops,
        notes=(*outcome.notes, *_not_judged(sight)),
    )


def _is_same(reference: object, outputs: object) -> bool:
    found = numerics.compare(reference, outputs, at="convert", names=("float", "converted"), tolerance=Tolerance())
    return found.status == "exact"


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
        outputs, state = state_of_float(model, batches.first)
        return outputs, with_larger(state, model, batches.first, outputs)
