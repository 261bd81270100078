"""One case becomes one record. `run_case` never raises."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from qatrix.claims import DEFAULT_PIPELINES, GraphCheck, Tolerance
from qatrix.declare.spec import Case
from qatrix.execute import diagnosing
from qatrix.execute.captures import Captures
from qatrix.execute.options import Diagnose
from qatrix.execute.passes import FORWARD_SEED, forward, set_training
from qatrix.execute.stages import report_error, run_stages
from qatrix.execute.training import Trained, train_float
from qatrix.judge import graphs, numerics
from qatrix.judge.verdict import conclude, with_diagnosis
from qatrix.outcomes import COMPARED, TRAINING_POINTS, CheckOutcome, Comparison, ErrorReport, PipelineOutcome, Record
from qatrix.pipelines import PIPELINES, Pipeline
from qatrix.pipelines.models import build_inputs, build_model
from qatrix.pipelines.torchenv import device_missing

# Made for every converted model: two pipelines can agree to the bit and both be random.
DETERMINISTIC_EVAL = "deterministic_eval"
# Made for every prepared program, and kept where it fails: a model that was captured into another
# IR than the patterns of the release's QAT fusion is quantized and not fused, without an error.
CONV_BN_FUSED = "conv_bn_fused"


def run_case(
    case: Case,
    pipelines: Mapping[str, Pipeline] | None = None,
    *,
    captures: Captures | None = None,
    diagnose: Diagnose = "differences",
) -> Record:
    """The record of one case; its expectation is not applied yet.

    `captures` holds those of earlier cases; where `diagnose` asks for it, the record says why
    the pipelines differ. Torch's global random state is changed; everything else is left as
    it was.
    """
    started = time.perf_counter()
    known = PIPELINES if pipelines is None else pipelines
    captures = captures or Captures()
    try:
        record = _run(case, known, captures)
        if _is_worth_a_diagnosis(record, diagnose):
            record = with_diagnosis(record, diagnosing.diagnose(case, pipelines=known, captures=captures))
    except Exception as error:  # noqa: BLE001 - whatever is wrong with one case must not end the run
        record = _record(case, facts=_Facts(), error=report_error(error))
    return replace(record, seconds=time.perf_counter() - started)


def _is_worth_a_diagnosis(record: Record, wanted: Diagnose) -> bool:
    differs = any(item.status != "exact" for item in record.comparisons)
    ran = sum(outcome.status == "ok" for outcome in record.pipelines.values())
    return ran > 1 and (wanted == "all" or (wanted == "differences" and differs))


@dataclass
class _Sight:
    """What was seen of one pipeline's program on its way."""

    outputs: dict[str, object] = field(default_factory=dict)
    steps: dict[str, list[float | None]] = field(default_factory=dict)
    checks: list[CheckOutcome] = field(default_factory=list)
    fake_quantizes: int | None = None
    ops: graphs.OpCounts | None = None


@dataclass
class _Facts:
    pipelines: dict[str, PipelineOutcome] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()


def _run(case: Case, known: Mapping[str, Pipeline], captures: Captures) -> Record:
    absent = case.skip or device_missing(case.device.torch)
    if absent is not None:
        return _record(case, facts=_Facts(), skipped=absent)
    try:
        inputs = tuple(tensor.to(case.device.torch) for tensor in build_inputs(case))
        reference = _float_reference(case, inputs)
    except Exception as error:  # noqa: BLE001 - any exception of the declared model makes the case invalid
        return _record(case, facts=_Facts(), invalid=report_error(error))
    return _record(case, facts=_facts(case, known, inputs, reference, captures))


def _facts(
    case: Case, known: Mapping[str, Pipeline], inputs: tuple[Tensor, ...], reference: object, captures: Captures
) -> _Facts:
    facts = _Facts()
    sights: dict[str, _Sight] = {}
    for name, pipeline in known.items():
        if name not in case.pipelines and name not in DEFAULT_PIPELINES:
            continue
        if name not in case.pipelines:
            facts.pipelines[name] = PipelineOutcome(pipeline=name, status="not_declared", reason=case.pipelines_because)
            continue
        sights[name] = sight = _Sight()
        outcome = run_stages(case, name, pipeline, inputs, _Onlooker(case, name, inputs, sight), captures=captures)
        facts.pipelines[name] = _with_counts(outcome, sight, reference)
    facts.comparisons = _comparisons(case, sights)
    facts.checks = tuple(
        check for name, sight in sights.items() for check in _checks(case, facts.pipelines[name], sight)
    )
    return facts


@dataclass
class _Onlooker:
    """Sees one pipeline's program at each point, before a later stage changes it in place."""

    case: Case
    pipeline: str
    inputs: tuple[Tensor, ...]
    sight: _Sight

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
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


def _with_counts(outcome: PipelineOutcome, sight: _Sight, reference: object) -> PipelineOutcome:
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


def _comparisons(case: Case, sights: Mapping[str, _Sight]) -> tuple[Comparison, ...]:
    return tuple(
        numerics.compare(
            sights[left].outputs[point],
            sights[right].outputs[point],
            at=point,
            names=(left, right),
            tolerance=case.tolerance,
            steps=_larger(sights[left].steps.get(point, []), sights[right].steps.get(point, [])),
        )
        for point in _points(case)
        for left, right in itertools.combinations(sights, 2)
        if point in sights[left].outputs and point in sights[right].outputs
    )


def _points(case: Case) -> tuple[str, ...]:
    """Where the case's pipelines are compared, in the order in which they get there."""
    if case.training is None or not case.compare:
        return case.compare
    return tuple(point for point in COMPARED if point in case.compare or point in TRAINING_POINTS)


def _larger(left: list[float | None], right: list[float | None]) -> list[float | None]:
    """The coarser of two outputs' quantization steps, so that a difference is not overstated."""
    return [
        max((step for step in pair if step is not None), default=None) for pair in itertools.zip_longest(left, right)
    ]


def _checks(case: Case, outcome: PipelineOutcome, sight: _Sight) -> list[CheckOutcome]:
    """The checks that were made, and a word on each that the pipeline did not get as far as."""
    made = {check.name for check in sight.checks}
    late = [
        CheckOutcome(
            name=check.name,
            pipeline=outcome.pipeline,
            status="not_run",
            message=outcome.reason or f"{outcome.pipeline} did not get as far as {check.at}",
        )
        for check in case.checks
        if outcome.pipeline in check.pipelines and check.name not in made
    ]
    return [*sight.checks, *late]


def _float_reference(case: Case, inputs: tuple[Tensor, ...]) -> object:
    """The float model's outputs in eval mode, after the training forward and the steps that QAT makes too."""
    phases = case.quantizer.phases
    trained = any(phase.quantizer.mode == "qat" for phase in phases) if phases else case.quantizer.mode == "qat"
    model = build_model(case).to(case.device.torch)
    with torch.no_grad():
        if trained:
            forward(model, inputs)
        if case.training is not None:
            train_float(case, case.training, model=model, inputs=inputs)
        set_training(model, False)
        return forward(model, inputs)


def _record(
    case: Case,
    *,
    facts: _Facts,
    skipped: str | None = None,
    invalid: ErrorReport | None = None,
    error: ErrorReport | None = None,
) -> Record:
    conclusion = conclude(
        pipelines=facts.pipelines,
        comparisons=facts.comparisons,
        checks=facts.checks,
        skipped=skipped,
        invalid=invalid,
        crashed=error,
    )
    return Record(
        case_id=case.case_id,
        suite=case.suite,
        axes=dict(case.axes),
        verdict=conclusion.verdict,
        summary=conclusion.summary,
        comparisons=facts.comparisons,
        checks=facts.checks,
        pipelines=facts.pipelines,
        seed=case.seed,
        reason=conclusion.reason,
        error=invalid or error,
        source=case.source,
    )
