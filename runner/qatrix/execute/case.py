"""One case becomes one record. `run_case` raises nothing but Ctrl-C."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from qatrix.claims import DEFAULT_PIPELINES, INFORMATIVE_OUTPUTS, SQNR_OF_BITS
from qatrix.declare.spec import Case
from qatrix.diagnoses import GraphText
from qatrix.execute import diagnosing, isolation, quality
from qatrix.execute.arbitration import Arbiter, Arbitration, integers_of
from qatrix.execute.captures import Captures
from qatrix.execute.departing import explained
from qatrix.execute.deployment import Side, coarser, comparisons_of
from qatrix.execute.devices import on_its_device
from qatrix.execute.options import Diagnose
from qatrix.execute.sight import Onlooker, Sight, float_reference, with_counts
from qatrix.execute.soundness import computes_in_integers
from qatrix.execute.stages import report_error, run_stages
from qatrix.execute.state import State
from qatrix.execute.survival import checks_of_lifecycle
from qatrix.execute.traces import Watch
from qatrix.judge import numerics
from qatrix.judge.verdict import conclude, with_diagnosis, with_traces
from qatrix.outcomes import (
    COMPARED,
    LOWERED,
    REPEATED,
    TRAINING_POINTS,
    CheckOutcome,
    Comparison,
    ErrorReport,
    PipelineOutcome,
    Record,
    is_of_reference,
)
from qatrix.pipelines import Pipeline, pipelines_of
from qatrix.pipelines.aten_ops import require_ops
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.inputs import Batches
from qatrix.pipelines.models import build_model
from qatrix.pipelines.own_code import import_own_code
from qatrix.pipelines.parts import with_paths
from qatrix.pipelines.pattern_cache import nothing_remembered
from qatrix.pipelines.runtimes import runtime_of
from qatrix.pipelines.torchenv import PackageMissing, device_missing, forget_programs
from qatrix.text import told

if TYPE_CHECKING:
    from qatrix.execute.reference import Reference

# A difference that the float model has, too, says nothing about quantization.
_OTHER_FLOAT: Final = (
    "it cannot be compared with the reference: the float model itself gives other bits here than it gave there, "
    "and what the pipelines differ by may come from that"
)

# Why a pipeline that is not built in has no arbiter.
_OTHER_CODE: Final = "what its layers are to do is not known"


def run_case(
    case: Case,
    pipelines: Mapping[str, Pipeline] | None = None,
    *,
    captures: Captures | None = None,
    diagnose: Diagnose = "differences",
    frozen: Reference | None = None,
) -> Record:
    """The record of one case; its expectation is not applied yet.

    `captures` holds those of earlier cases; where `diagnose` asks for it, the record says why
    the pipelines differ. `frozen` has the side of one pipeline, which then does not run, and
    nothing is diagnosed, for which both would have to. The global random states are changed;
    everything else that `traces` knows is left as it was, and the record tells what had changed.
    What importing a module of the user's own does is no trace of the case, and stays.
    """
    started, process = time.perf_counter(), os.getpid()
    case = on_its_device(case)
    known = pipelines_of(case) if pipelines is None else pipelines
    for name, pipeline in known.items():
        # It imports its packages for that, which is no trace of the case that happens to be the first.
        # Code of the user's own is imported below, and only where the case runs.
        if name in case.own_pipelines or (frozen is not None and name == frozen.pipeline):
            continue
        if pipeline.missing() is None:
            pipeline.lacks(case.quantizer)
        if name in case.pipelines and (use := case.runtime_of(name)) is not None and use.built_in is not None:
            runtime_of(use).missing()
    watch = Watch()
    # What code of the user's own may have had a hand in is not kept for other cases.
    captures = Captures() if captures is None or case.runs_own_code else captures
    try:
        with _apart(case):
            if case.runs_own_code and _absent(case) is None:
                import_own_code(case)
                watch = Watch()
            record = _run(case, known, captures, frozen, diagnose)
            if diagnose == "graphs":
                found = diagnosing.draw(case, pipelines=known, captures=captures)
                record = replace(record, diagnosis=found, graphs=())
            elif frozen is None and _is_worth_a_diagnosis(record, diagnose):
                found = diagnosing.diagnose(case, pipelines=known, names=_apart_most(record), captures=captures)
                record = replace(with_diagnosis(record, found), graphs=())
    except BaseException as error:  # noqa: BLE001 - whatever is wrong with one case must not end the run
        isolation.let_ctrl_c_through(error)
        record = _record(case, facts=_Facts(), error=report_error(error))
    finally:
        if os.getpid() != process:
            # Code of the user's own has forked; this process must not answer in its parent's place.
            os._exit(os.EX_OK)
        forget_programs()
    record = with_traces(record, _traces(watch), to_quantize=_is_to_quantize(case))
    return replace(record, seconds=time.perf_counter() - started)


def _traces(watch: Watch) -> tuple[str, ...]:
    try:
        return watch.restore()
    except BaseException as error:  # noqa: BLE001 - what a case left behind may be objects of its own
        isolation.let_ctrl_c_through(error)
        return (f"what the case left behind cannot be told and set back: {told(error)}",)


def _apart(case: Case) -> AbstractContextManager[None]:
    """What keeps code of the user's own from the memories that other cases take from."""
    if not case.runs_own_code:
        return nullcontext()
    return nothing_remembered(patterns=any(quantizer.mode == "qat" for quantizer in case.quantizer.rounds))


def _is_to_quantize(case: Case) -> bool:
    return case.quantizes == "something"


def _absent(case: Case) -> str | None:
    """Why a case is skipped, if it is."""
    return case.skip or device_missing(case.device.torch)


def _is_worth_a_diagnosis(record: Record, wanted: Diagnose) -> bool:
    # Two pipelines were compared, though a later stage of one may have failed.
    if any(item.status != "exact" for item in record.comparisons if item.at != LOWERED):
        return wanted != "never"
    ran = {name for name, outcome in record.pipelines.items() if outcome.status == "ok"}
    failed: dict[str, set[str | None]] = {}
    for check in record.checks:
        # What the float model alone is at fault for, no pipeline explains.
        if check.status == "failed" and check.name != INFORMATIVE_OUTPUTS:
            failed.setdefault(check.name, set()).add(check.pipeline)
    # Both agree, and are wrong alike or far from the float model: at which layer?
    wrong = SQNR_OF_BITS in failed or any(pipelines >= ran for pipelines in failed.values())
    return len(ran) > 1 and (wanted == "all" or (wanted == "differences" and wrong))


def _apart_most(record: Record) -> tuple[str, str] | None:
    """The first two pipelines that differ, beyond tolerance if any do; None where none differ."""
    differing = [item for item in record.comparisons if item.status != "exact" and item.at != LOWERED]
    ranked = sorted(differing, key=lambda item: item.status == "close")
    return next(((item.left, item.right) for item in ranked), None)


@dataclass
class _Facts:
    pipelines: dict[str, PipelineOutcome] = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    graphs: tuple[GraphText, ...] = ()


def _run(
    case: Case, known: Mapping[str, Pipeline], captures: Captures, frozen: Reference | None, diagnose: Diagnose
) -> Record:
    absent = _absent(case)
    if absent is not None:
        return _record(case, facts=_Facts(), skipped=absent)
    try:
        batches = build_batches(case)
        model = build_model(case).to(case.device.torch)
        require_ops(case.quantizer)
        case = replace(case, quantizer=with_paths(case.quantizer, model))
        arbiter = Arbiter.of(case, model, batches.first, trains=quality.trains(case), captures=captures)
        reference, state = float_reference(case, model, batches)
    except PackageMissing as error:
        # A model that a distribution registers: no pipeline can do anything about it.
        names = [name for name in known if name in case.pipelines]
        none = {name: PipelineOutcome(pipeline=name, status="unavailable", reason=str(error)) for name in names}
        return _record(case, facts=_Facts(pipelines=none))
    except BaseException as error:  # noqa: BLE001 - any exception of the declared model makes the case invalid
        isolation.let_ctrl_c_through(error)
        return _record(case, facts=_Facts(), invalid=report_error(error))
    return _record(case, facts=_facts(case, known, batches, (reference, state), captures, frozen, arbiter, diagnose))


def _facts(
    case: Case,
    known: Mapping[str, Pipeline],
    batches: Batches,
    float_model: tuple[object, State],
    captures: Captures,
    frozen: Reference | None,
    arbiter: Arbiter | str,
    diagnose: Diagnose,
) -> _Facts:
    facts = _Facts()
    reference, state = float_model
    sights: dict[str, Sight] = {}
    for name, pipeline in known.items():
        if name not in case.pipelines and name not in DEFAULT_PIPELINES:
            continue
        if name not in case.pipelines:
            facts.pipelines[name] = PipelineOutcome(pipeline=name, status="not_declared", reason=case.pipelines_because)
            continue
        if frozen is not None and name == frozen.pipeline:
            outcome, sight = frozen.side(case, batches, reference)
        else:
            sight = Sight()
            judging = _OTHER_CODE if name in case.own_pipelines else arbiter
            arbitration = Arbitration(
                name,
                judging,
                state,
                integers_of(pipeline, case.quantizer),
                case.training,
                in_integers=computes_in_integers(case, name),
            )
            onlooker = Onlooker(case, name, batches.first, sight, state, arbitration)
            outcome = run_stages(case, name, pipeline, batches, onlooker, captures=captures, run=arbitration.run)
            outcome = with_counts(outcome, sight, reference)
            sight.checks += checks_of_lifecycle(case, outcome, pipeline, batches, (sight, state), captures)
        facts.pipelines[name], sights[name] = outcome, sight
        sight.checks += [
            *quality.of_outcome(case, outcome, sight.losses),
            *quality.of_unknown_code(case, outcome),
        ]
        if "convert" in sight.outputs:
            sight.checks += quality.of_outputs(name, reference, sight.outputs["convert"])
    lowered = tuple(comparisons_of(case, _sides(facts, sights, reference)))
    facts.comparisons = (*_comparisons(case, sights), *lowered)
    if diagnose != "never":
        facts.pipelines |= _explained(facts, sights, lowered)
    for name, sight in sights.items():
        if sight.float_differs and any(item.status == "diverged" for item in facts.comparisons):
            facts.pipelines[name] = replace(facts.pipelines[name], status="unavailable", reason=_OTHER_FLOAT)
    facts.graphs = tuple(sight.graph for sight in sights.values() if sight.graph is not None)
    facts.checks = tuple(
        check for name, sight in sights.items() for check in _checks(case, facts.pipelines[name], sight)
    )
    return facts


def _comparisons(case: Case, sights: Mapping[str, Sight]) -> tuple[Comparison, ...]:
    return tuple(
        numerics.compare(
            sights[left].outputs[point],
            sights[right].outputs[point],
            at=point,
            names=(left, right),
            tolerance=case.tolerance,
            steps=coarser(sights[left].steps.get(point, []), sights[right].steps.get(point, [])),
        )
        for point in _points(case)
        for left, right in itertools.combinations(sights, 2)
        if point != LOWERED
        if point in sights[left].outputs and point in sights[right].outputs
    )


def _sides(facts: _Facts, sights: Mapping[str, Sight], reference: object) -> list[Side]:
    """What ran in the case's runtime, beside the programs that it was made of."""
    return [
        Side(
            pipeline=name,
            lowering=lowering,
            converted=sight.outputs["convert"],
            lowered=sight.outputs[LOWERED],
            steps=sight.steps.get("convert", []),
            float_outputs=reference,
        )
        for name, sight in sights.items()
        if (lowering := facts.pipelines[name].lowering) is not None and LOWERED in sight.outputs
    ]


def _explained(
    facts: _Facts, sights: Mapping[str, Sight], lowered: tuple[Comparison, ...]
) -> dict[str, PipelineOutcome]:
    """The outcomes of pipelines whose runtime is off its reference, with the reason in them."""
    off = {item.left for item in lowered if is_of_reference(item) and item.status in {"diverged", "mismatched"}}
    found = {}
    for name in off:
        outcome, deployed = facts.pipelines[name], sights[name].deployed
        if outcome.lowering is not None and deployed is not None:
            found[name] = replace(outcome, lowering=explained(outcome.lowering, deployed, name))
    return found


def _points(case: Case) -> tuple[str, ...]:
    """Where the case's pipelines are compared, in the order in which they get there."""
    more = {*(() if case.training is None else TRAINING_POINTS), *([REPEATED] if case.lifecycle == REPEATED else ())}
    if not more or not case.compare:
        return case.compare
    return tuple(point for point in COMPARED if point in {*case.compare, *more})


def _checks(case: Case, outcome: PipelineOutcome, sight: Sight) -> list[CheckOutcome]:
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
        to_quantize=_is_to_quantize(case),
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
        graphs=facts.graphs,
        reason=conclusion.reason,
        error=invalid or error,
        source=case.source,
    )
