"""What was seen of one pipeline's program on its way, and who looks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import torch
from torch import Tensor, nn

from qatrix.claims import GraphCheck, Tolerance
from qatrix.declare.spec import Case
from qatrix.execute.passes import FORWARD_SEED, forward, set_training
from qatrix.execute.training import Trained, train_float
from qatrix.judge import graphs, numerics
from qatrix.outcomes import CheckOutcome, PipelineOutcome
from qatrix.pipelines.models import build_model

# Made for every converted model: two pipelines can agree to the bit and both be random.
DETERMINISTIC_EVAL: Final = "deterministic_eval"
# Made for every prepared program, and kept where it fails: a model that was captured into another
# IR than the patterns of the release's QAT fusion is quantized and not fused, without an error.
CONV_BN_FUSED: Final = "conv_bn_fused"


@dataclass
class Sight:
    """Outputs and their quantization steps by point, the checks that were made, counts.

    `float_differs` says that the float model gave other bits where this was seen than here.
    """

    outputs: dict[str, object] = field(default_factory=dict)
    steps: dict[str, list[float | None]] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    fake_quantizes: int | None = None
    ops: graphs.OpCounts | None = None
    float_differs: bool = False


@dataclass
class Onlooker:
    """Sees one pipeline's program at each point, before a later stage changes it in place."""

    case: Case
    pipeline: str
    inputs: tuple[Tensor, ...]
    sight: Sight

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        """Note what there is to see; a converted program is run once more."""
        sight = self.sight
        if isinstance(outputs, Trained):
            sight.outputs |= outputs.compared()
            return
        sight.outputs[point] = outputs
        sight.checks += [graphs.run_check(check, program, self.pipeline) for check in self._due(point)]
        if point == "prepare":
            sight.steps[point] = graphs.output_steps(program)
            sight.fake_quantizes = graphs.count_fake_quantizes(program)
            sight.checks += self._unfused(program)
        elif point == "convert":
            sight.steps[point] = graphs.output_steps(program)
            sight.ops = graphs.count_ops(program)
            sight.checks.append(self._deterministic(program, outputs))

    def _due(self, point: str) -> list[GraphCheck]:
        return [check for check in self.case.checks if check.at == point and self.pipeline in check.pipelines]

    def _unfused(self, program: nn.Module) -> list[CheckOutcome]:
        left = graphs.unfused_batch_norms(program)
        if not left:
            return []
        message = (
            f"{', '.join(left)} follows a quantized convolution without being fused with it, "
            "so that what was captured does not match the patterns that this release fuses"
        )
        return [CheckOutcome(name=CONV_BN_FUSED, pipeline=self.pipeline, status="failed", message=message)]

    def _deterministic(self, program: nn.Module, outputs: object) -> CheckOutcome:
        """Run the converted program once more with another seed: it must give the same bits."""
        again = forward(program, self.inputs, seed=FORWARD_SEED + 1)
        same = numerics.compare(
            outputs, again, at="convert", names=("first", "second"), tolerance=Tolerance(name="exact", rtol=0, atol=0)
        )
        if same.status == "exact":
            return CheckOutcome(name=DETERMINISTIC_EVAL, pipeline=self.pipeline, status="passed")
        apart = same.message or f"they are {same.max_abs:.3g} apart"
        return CheckOutcome(
            name=DETERMINISTIC_EVAL,
            pipeline=self.pipeline,
            status="failed",
            message=f"the converted model gives two different outputs for one input and two seeds: {apart}",
        )


def with_counts(outcome: PipelineOutcome, sight: Sight, reference: object) -> PipelineOutcome:
    """The outcome with what was counted, and its SQNR against the float model's outputs."""
    outcome = replace(outcome, fake_quantizes=sight.fake_quantizes)
    if sight.ops is None:
        return outcome
    sqnr, note = numerics.sqnr_db(reference, sight.outputs["convert"])
    return replace(
        outcome,
        quantize_ops=sight.ops.quantize,
        dequantize_ops=sight.ops.dequantize,
        batch_norms_left=sight.ops.batch_norms,
        sqnr_db=sqnr,
        notes=outcome.notes if note is None else (*outcome.notes, note),
    )


def trains(case: Case) -> bool:
    """Whether any phase of the case is quantization-aware training."""
    modes = [phase.quantizer.mode for phase in case.quantizer.phases] or [case.quantizer.mode]
    return "qat" in modes


def float_reference(case: Case, inputs: tuple[Tensor, ...]) -> object:
    """The float model's outputs in eval mode, after the training forward and the steps that QAT makes too."""
    model = build_model(case).to(case.device.torch)
    with torch.no_grad():
        if trains(case):
            forward(model, inputs)
        if case.training is not None:
            train_float(case, case.training, model=model, inputs=inputs)
        set_training(model, False)
        return forward(model, inputs)
