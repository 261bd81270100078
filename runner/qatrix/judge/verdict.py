"""The verdict of a case, in one word and in one sentence, and whether it was expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from qatrix.claims import AS_SPECIFIED, LEAVES_NO_TRACE, Expectation, Verdict
from qatrix.diagnoses import Diagnosis
from qatrix.judge.distances import differences
from qatrix.judge.migration import migration
from qatrix.judge.wording import Template
from qatrix.judge.wording import verdicts as words
from qatrix.outcomes import (
    LOWERED,
    PRECEDENCE,
    UNREMARKABLE,
    CheckOutcome,
    Comparison,
    ErrorReport,
    PipelineOutcome,
    Record,
    is_of_reference,
)

# Below this many decibels apart, neither pipeline is called closer to the float model.
_CLOSER_DB: Final = 1.0
# Changes of the process's state that a check spells out; the record has all of them.
_TRACES: Final = 3
# Verdicts whose summary names the checks that fail.
_TELLING_CHECKS: Final[frozenset[Verdict]] = frozenset({"diverged", "check_failed"})
# Verdicts that say nothing about a known difference: the case did not get as far.
_UNTRIED: Final[frozenset[Verdict]] = frozenset({"skipped", "unavailable"})


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A case's verdict, the same in words, and why it did not run, where it did not."""

    verdict: Verdict
    summary: str
    reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Facts:
    pipelines: Mapping[str, PipelineOutcome]
    comparisons: Sequence[Comparison]
    checks: Sequence[CheckOutcome]
    to_quantize: bool

    def having(self, status: str) -> list[PipelineOutcome]:
        return [outcome for outcome in self.pipelines.values() if outcome.status == status]


def conclude(
    *,
    pipelines: Mapping[str, PipelineOutcome],
    comparisons: Sequence[Comparison],
    checks: Sequence[CheckOutcome],
    skipped: str | None = None,
    invalid: ErrorReport | None = None,
    crashed: ErrorReport | None = None,
    to_quantize: bool = True,
) -> Conclusion:
    """The first verdict, in outcomes.PRECEDENCE, that the facts bear out.

    Where nothing is `to_quantize`, no pipeline is to blame for quantizing nothing; a check says who did.
    """
    if invalid is not None:
        return Conclusion(verdict="invalid", summary=_invalid(invalid)(error=_said(invalid)))
    if skipped is not None:
        return Conclusion(verdict="skipped", summary=words.SKIPPED(reason=skipped), reason=skipped)
    if crashed is not None:
        return Conclusion(verdict="crashed", summary=words.CRASHED(error=_said(crashed)))
    facts = _Facts(pipelines=pipelines, comparisons=comparisons, checks=checks, to_quantize=to_quantize)
    found = {conclusion.verdict: conclusion for conclusion in _borne_out(facts)}
    return next(found[verdict] for verdict in PRECEDENCE if verdict in found)


def _invalid(error: ErrorReport) -> Template:
    if error.is_of_parts:
        return words.INVALID_QUANTIZER
    if error.is_of_ops:
        return words.INVALID_OPS
    return words.INVALID_DATA if error.is_of_data else words.INVALID_MODEL


def with_diagnosis(record: Record, diagnosis: Diagnosis) -> Record:
    """The record with its diagnosis, and in its summary the first layer that differs."""
    first = diagnosis.first
    if first is None:
        return replace(record, diagnosis=diagnosis)
    named = (cause.sentence for cause in diagnosis.causes if cause.explains_first and cause.kind != "unexplained")
    cause = next(named, None)
    told = words.FIRST if cause is None else words.FIRST_BECAUSE
    summary = told(summary=record.summary, layer=first.layer, at=first.at, cause=cause)
    return replace(record, diagnosis=diagnosis, summary=summary)


def with_traces(record: Record, traces: tuple[str, ...], *, to_quantize: bool = True) -> Record:
    """The record with what its case left behind in its process: a check that fails on every pipeline that ran.

    The pipelines share the process, so that none can be said to have nothing to do with it.
    The summary tells it, whatever the verdict and whether or not there is a pipeline for the check.
    """
    if not traces:
        return record
    ran = [item.pipeline for item in record.pipelines.values() if item.status in {"ok", "failed"}]
    more = [words.MORE(count=len(traces) - _TRACES)] if len(traces) > _TRACES else []
    message = "; ".join([*traces[:_TRACES], *more])
    if not ran:
        return replace(record, traces=traces, summary=_with_changes(record.summary, message))
    failed = (CheckOutcome(name=LEAVES_NO_TRACE, pipeline=name, status="failed", message=message) for name in ran)
    checks = (*record.checks, *failed)
    conclusion = conclude(
        pipelines=record.pipelines, comparisons=record.comparisons, checks=checks, to_quantize=to_quantize
    )
    summary = conclusion.summary
    if conclusion.verdict not in _TELLING_CHECKS:
        summary = _with_changes(summary, message)
    told = replace(record, traces=traces, checks=checks, verdict=conclusion.verdict, summary=summary)
    return told if told.diagnosis is None else with_diagnosis(told, told.diagnosis)


def _with_changes(summary: str, changes: str) -> str:
    return words.CHANGES_LEFT(summary=summary, changes=changes)


def with_expectation(record: Record, expectation: Expectation | None) -> Record:
    """The record with its expectation applied: strict both ways.

    What a case left behind in its process is expected only where the check LEAVES_NO_TRACE is named.
    """
    because = _unexpected_because(record, expectation)
    return replace(record, expected=expectation, unexpected=because is not None, unexpected_because=because)


def known_error(record: Record, expectations: Iterable[Expectation]) -> Expectation | None:
    """The titled expectation that declares the error of a failed record, whatever checks fail beside it.

    A difference without an error tells too little of itself to be told from another.
    """
    if record.verdict != "failed":
        return None
    telling = (item for item in expectations if item.verdict == "failed" and item.message and item.title)
    return next((item for item in telling if _other_failure(record, item) is None), None)


def _borne_out(facts: _Facts) -> Iterator[Conclusion]:
    """Every verdict that the facts bear out, in no particular order; there is always one."""
    yield from _unavailable(facts)
    yield from _failed(facts)
    yield from _unquantized(facts)
    yield from _diverged(facts)
    yield from _check_failed(facts)
    if not any(outcome.status in {"failed", "unavailable"} for outcome in facts.pipelines.values()):
        yield _agreeing(facts)


def _unavailable(facts: _Facts) -> Iterator[Conclusion]:
    absent = facts.having("unavailable")
    if absent:
        reason = "; ".join(
            words.UNAVAILABLE_PIPELINE(pipeline=outcome.pipeline, reason=outcome.reason) for outcome in absent
        )
        yield Conclusion(verdict="unavailable", summary=words.UNAVAILABLE(reasons=reason), reason=reason)


def _failed(facts: _Facts) -> Iterator[Conclusion]:
    failed = facts.having("failed")
    if failed:
        yield Conclusion(verdict="failed", summary="; ".join(map(_failure, failed)))


def _failure(outcome: PipelineOutcome) -> str:
    if outcome.error is None:
        return words.FAILED(pipeline=outcome.pipeline, stage=outcome.failed_stage)
    return words.FAILED_WITH(pipeline=outcome.pipeline, stage=outcome.failed_stage, error=_said(outcome.error))


def _unquantized(facts: _Facts) -> Iterator[Conclusion]:
    told = [text for outcome in facts.having("ok") if (text := _left_in_float(outcome))]
    if told and facts.to_quantize:
        yield Conclusion(verdict="unquantized", summary="; ".join(told))


def _left_in_float(outcome: PipelineOutcome) -> str | None:
    if outcome.fake_quantizes == 0:
        return words.NOTHING_PREPARED(pipeline=outcome.pipeline)
    if outcome.quantize_ops == 0 and outcome.dequantize_ops == 0 and not outcome.integer_ops:
        return words.NOTHING_CONVERTED(pipeline=outcome.pipeline)
    if outcome.keeps_float:
        return words.NOTHING_CHANGED(pipeline=outcome.pipeline)
    return None


def _diverged(facts: _Facts) -> Iterator[Conclusion]:
    apart = [item for item in facts.comparisons if item.status in {"diverged", "mismatched"}]
    if apart:
        told = "; ".join(differences(apart))
        closer = _closer(facts) if any(item.at != LOWERED for item in apart) else ()
        summary = "; ".join([told, *closer, *_lowered(facts, apart), *_moving(facts), *_failed_checks(facts)])
        yield Conclusion(verdict="diverged", summary=summary)


def _lowered(facts: _Facts, apart: Sequence[Comparison]) -> Iterator[str]:
    """How near each runtime that is off its reference is to the float model, beside that reference."""
    off = {item.left for item in apart if is_of_reference(item)}
    for outcome in facts.having("ok"):
        lowering = outcome.lowering
        if lowering is None or outcome.pipeline not in off or lowering.sqnr_db is None or outcome.sqnr_db is None:
            continue
        yield words.QUALITY_IN_RUNTIME(
            side=lowering.side(outcome.pipeline), sqnr_db=lowering.sqnr_db, reference_db=outcome.sqnr_db
        )
        if lowering.first is not None:
            known = [cause.sentence for cause in lowering.causes if cause.kind != "unexplained"]
            yield words.FIRST_IN_RUNTIME(
                layer=lowering.first.layer, cause=known[0] if known else lowering.first.sentence
            )


def _moving(facts: _Facts) -> Iterator[str]:
    """What changes for who moves from FX on its runtime to PT2E on its own."""
    before, after = (facts.pipelines.get(name) for name in ("fx", "pt2e"))
    if before is not None and after is not None and (told := migration(before, after, facts.comparisons)) is not None:
        yield told


def _closer(facts: _Facts) -> Iterator[str]:
    """Which pipeline is closer to the float model, where their SQNR tells."""
    known = [(outcome.sqnr_db, outcome.pipeline) for outcome in facts.having("ok") if outcome.sqnr_db is not None]
    if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
        return
    (worst, last), *_, (best, name) = sorted(known)
    if best - worst < _CLOSER_DB:
        (left_db, left), (right_db, right) = (item for item in known if item[1] in {last, name})
        yield words.EQUALLY_CLOSE(left=left, left_db=left_db, right=right, right_db=right_db)
    else:
        yield words.CLOSER(pipeline=name, best_db=best, worst_db=worst)


def _check_failed(facts: _Facts) -> Iterator[Conclusion]:
    told = _failed_checks(facts)
    if told:
        yield Conclusion(verdict="check_failed", summary="; ".join(told))


def _failed_checks(facts: _Facts) -> list[str]:
    """The checks that fail, in words; what is the same on several pipelines is said once."""
    ran = {outcome.pipeline for outcome in facts.having("ok")}
    places: dict[tuple[str, str | None], list[str]] = {}
    for check in facts.checks:
        if _fails(check, ran):
            places.setdefault((check.name, check.message), []).append(check.pipeline)
    kept = [check.pipeline for check in facts.checks if check.name == AS_SPECIFIED and check.status == "passed"]
    return [_failing(name, names, kept, message) for (name, message), names in places.items()]


def _failing(check: str, names: list[str], kept: list[str], message: str | None) -> str:
    """Which check fails on which pipelines; of their own specifications, who keeps his tells who is right."""
    pipelines = " and ".join(names)
    if check != AS_SPECIFIED:
        return words.CHECK_FAILS(check=check, pipelines=pipelines, message=message)
    told = words.NOT_AS_SPECIFIED_ALONE if kept else words.NOT_AS_SPECIFIED
    return told(
        pipelines=pipelines,
        do="does" if len(names) == 1 else "do",
        their="its" if len(names) == 1 else "their",
        others=" and ".join(kept),
        others_do="does" if len(kept) == 1 else "do",
        check=check,
        message=message,
    )


def _fails(check: CheckOutcome, ran: set[str]) -> bool:
    """A check that was not made on a pipeline that ran has failed: nothing vouches for it."""
    return check.status == "failed" or (check.status == "not_run" and check.pipeline in ran)


def _agreeing(facts: _Facts) -> Conclusion:
    if not facts.comparisons:
        names = ", ".join(outcome.pipeline for outcome in facts.having("ok"))
        absent = [words.LEFT_OUT(pipeline=item.pipeline, reason=item.reason) for item in _left_out(facts)]
        return Conclusion(verdict="checked", summary="; ".join([words.CHECKED(pipelines=names), *absent]))
    moving = tuple(_moving(facts))
    if all(item.status == "exact" for item in facts.comparisons):
        return Conclusion(verdict="exact", summary="; ".join([words.EXACT(), *moving]))
    largest = max((item.max_abs or 0.0 for item in facts.comparisons), default=0.0)
    return Conclusion(verdict="close", summary="; ".join([words.CLOSE(max_abs=largest), *moving]))


def _left_out(facts: _Facts) -> list[PipelineOutcome]:
    return [item for item in facts.pipelines.values() if item.status in {"not_declared", "inexpressible"}]


def _said(error: ErrorReport) -> str:
    """An error's type and the first line of its message."""
    first = error.message.strip().splitlines()[0] if error.message.strip() else words.NO_MESSAGE()
    return words.ERROR(type=error.type.rpartition(".")[2], message=first)


def _unexpected_because(record: Record, expectation: Expectation | None) -> str | None:
    if expectation is None:
        if record.verdict not in UNREMARKABLE:
            return words.NOT_COVERED()
        return words.CHANGES_NOT_COVERED() if record.traces else None
    if record.verdict in _UNTRIED:
        return _other_traces(record, expectation)
    if record.verdict != expectation.verdict:
        told = words.NOW_GOOD if record.verdict in UNREMARKABLE else words.OTHER_VERDICT
        return told(expected=expectation.verdict, source=expectation.source, verdict=record.verdict)
    return _other_failure(record, expectation) or _other_checks(record, expectation)


def _other_failure(record: Record, expectation: Expectation) -> str | None:
    """How a failure differs from the one that was expected."""
    if all(part is None for part in (expectation.pipeline, expectation.stage, expectation.error, expectation.message)):
        return None
    culprits = [item for item in record.pipelines.values() if _is_culprit(record, item)]
    if expectation.pipeline is not None:
        others = [item.pipeline for item in culprits if item.pipeline != expectation.pipeline]
        culprits = [item for item in culprits if item.pipeline == expectation.pipeline]
        if not culprits:
            return words.OTHER_PIPELINE(source=expectation.source, pipeline=expectation.pipeline)
        if others:
            return words.MORE_PIPELINES(
                source=expectation.source, pipeline=expectation.pipeline, others=", ".join(others)
            )
    if any(_fits(item, expectation) for item in culprits):
        return None
    wanted = [
        f"{name} {value!r}"
        for name, value in (
            ("stage", expectation.stage),
            ("error", expectation.error),
            ("message", expectation.message),
        )
        if value is not None
    ]
    return words.OTHER_FAILURE(wanted=", ".join(wanted), source=expectation.source, summary=record.summary)


def _is_culprit(record: Record, outcome: PipelineOutcome) -> bool:
    if record.verdict == "unquantized":
        return outcome.status == "ok" and _left_in_float(outcome) is not None
    if record.verdict == "check_failed":
        return any(check.pipeline == outcome.pipeline and check.status != "passed" for check in record.checks)
    return outcome.status == "failed"


def _fits(outcome: PipelineOutcome, expectation: Expectation) -> bool:
    error = outcome.error or ErrorReport(type="", message="", traceback="")
    return (
        expectation.stage in {None, outcome.failed_stage}
        and expectation.error in {None, error.type, error.type.rpartition(".")[2]}
        and (expectation.message is None or expectation.message in error.message)
    )


def _other_checks(record: Record, expectation: Expectation) -> str | None:
    """An expected difference must not hide a failed check, nor name one that holds."""
    ran = {item.pipeline for item in record.pipelines.values() if item.status == "ok"}
    failed = {check.name for check in record.checks if _fails(check, ran)}
    failed |= {LEAVES_NO_TRACE} if record.traces else set()
    named = set(expectation.checks)
    if record.verdict == "check_failed" and not named:
        return _other_traces(record, expectation)
    if failed - named:
        return words.MORE_CHECKS_FAIL(verdict=record.verdict, checks=", ".join(sorted(failed - named)))
    if named - failed and record.verdict != "failed":
        return words.CHECKS_HOLD(checks=", ".join(sorted(named - failed)))
    return None


def _other_traces(record: Record, expectation: Expectation) -> str | None:
    """That a case changed its process, which no expectation covers that does not name the check."""
    if not record.traces or LEAVES_NO_TRACE in expectation.checks:
        return None
    return words.MORE_CHECKS_FAIL(verdict=record.verdict, checks=LEAVES_NO_TRACE)
