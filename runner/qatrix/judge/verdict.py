"""The verdict of a case, in one word and in one sentence, and whether it was expected."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from qatrix.claims import AS_SPECIFIED, LEAVES_NO_TRACE, Expectation, Verdict
from qatrix.diagnoses import Diagnosis
from qatrix.judge.migration import migration
from qatrix.outcomes import (
    LOWERED,
    PRECEDENCE,
    TRAINING_POINTS,
    UNREMARKABLE,
    CheckOutcome,
    Comparison,
    ErrorReport,
    PipelineOutcome,
    Record,
    is_of_reference,
)
from qatrix.text import steps_apart

# Below this many decibels apart, neither pipeline is called nearer to the float model.
_NEARER_DB: Final = 1.0
# The key of a dictionary at the beginning of a place: "['conv.weight'][0, 1]".
_NAMED: Final = re.compile(r"^\['([^']*)'\]")
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
        return Conclusion(verdict="invalid", summary=f"{_invalid(invalid)}: {_said(invalid)}")
    if skipped is not None:
        return Conclusion(verdict="skipped", summary=f"skipped: {skipped}", reason=skipped)
    if crashed is not None:
        return Conclusion(verdict="crashed", summary=f"qatrix failed on this case: {_said(crashed)}")
    facts = _Facts(pipelines=pipelines, comparisons=comparisons, checks=checks, to_quantize=to_quantize)
    found = {conclusion.verdict: conclusion for conclusion in _borne_out(facts)}
    return next(found[verdict] for verdict in PRECEDENCE if verdict in found)


def _invalid(error: ErrorReport) -> str:
    if error.is_of_parts:
        return "its quantizer is for another model"
    if error.is_of_ops:
        return "its quantizer names what this torch does not have"
    return "its data cannot be used" if error.is_of_data else "the float model itself does not run"


def with_diagnosis(record: Record, diagnosis: Diagnosis) -> Record:
    """The record with its diagnosis, and in its summary the layer at which the pipelines part."""
    first = diagnosis.first
    if first is None:
        return replace(record, diagnosis=diagnosis)
    named = (cause.sentence for cause in diagnosis.causes if cause.explains_first and cause.kind != "unexplained")
    because = next((f": {sentence}" for sentence in named), "")
    summary = f"{record.summary}; first at {first.layer} after {first.at}{because}"
    return replace(record, diagnosis=diagnosis, summary=summary)


def with_traces(record: Record, traces: tuple[str, ...], *, to_quantize: bool = True) -> Record:
    """The record with what its case left behind in its process: a check that fails on every pipeline that ran.

    The pipelines share the process, so that none can be said to have nothing to do with it.
    The summary tells it, whatever the verdict and whether or not there is a pipeline for the check.
    """
    if not traces:
        return record
    ran = [item.pipeline for item in record.pipelines.values() if item.status in {"ok", "failed"}]
    more = f"; {len(traces) - _TRACES} more" if len(traces) > _TRACES else ""
    message = "; ".join(traces[:_TRACES]) + more
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
    return f"{summary}; it left changes behind: {changes}"


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
        reason = "; ".join(f"{outcome.pipeline}: {outcome.reason}" for outcome in absent)
        yield Conclusion(verdict="unavailable", summary=f"not available here: {reason}", reason=reason)


def _failed(facts: _Facts) -> Iterator[Conclusion]:
    failed = facts.having("failed")
    if failed:
        yield Conclusion(verdict="failed", summary="; ".join(map(_failure, failed)))


def _failure(outcome: PipelineOutcome) -> str:
    told = f": {_said(outcome.error)}" if outcome.error else ""
    return f"{outcome.pipeline} failed at {outcome.failed_stage}{told}"


def _unquantized(facts: _Facts) -> Iterator[Conclusion]:
    told = [text for outcome in facts.having("ok") if (text := _left_in_float(outcome))]
    if told and facts.to_quantize:
        yield Conclusion(verdict="unquantized", summary="; ".join(told))


def _left_in_float(outcome: PipelineOutcome) -> str | None:
    if outcome.fake_quantizes == 0:
        return f"{outcome.pipeline} quantized nothing, silently: no fake quantize or observer after prepare"
    if outcome.quantize_ops == 0 and outcome.dequantize_ops == 0 and not outcome.integer_ops:
        return f"{outcome.pipeline} quantized nothing, silently: no quantize or dequantize op after convert"
    if outcome.keeps_float:
        return f"{outcome.pipeline} quantized nothing, silently: its output is the float model's"
    return None


def _diverged(facts: _Facts) -> Iterator[Conclusion]:
    apart = [item for item in facts.comparisons if item.status in {"diverged", "mismatched"}]
    if apart:
        told = "; ".join(_differences(apart))
        nearer = _nearer(facts) if any(item.at != LOWERED for item in apart) else ""
        summary = "; ".join([told + nearer, *_lowered(facts, apart), *_moving(facts), *_failed_checks(facts)])
        yield Conclusion(verdict="diverged", summary=summary)


def _differences(apart: Sequence[Comparison]) -> Iterator[str]:
    """Each difference in words; those that training made between two pipelines in one sentence."""
    for key, group in itertools.groupby(apart, lambda item: (item.left, item.right, _is_measured_training(item))):
        first, *more = group
        if key[-1]:
            others = (f", {item.max_abs:.3g} {item.where}{_place(item)}" for item in more)
            yield "".join((_apart(first), *others))
        else:
            yield from map(_apart, (first, *more))


def _is_measured_training(item: Comparison) -> bool:
    return item.at in TRAINING_POINTS and item.status != "mismatched" and item.max_abs is not None


def _apart(item: Comparison) -> str:
    if item.status == "mismatched" or item.max_abs is None:
        return f"{item.left} and {item.right} cannot be compared {item.where}: {item.message}"
    steps = "" if item.max_steps is None else f", {steps_apart(f'{item.max_steps:.3g}')}"
    if is_of_reference(item):
        return f"{item.right} is {item.max_abs:.3g} off its reference{steps}"
    return f"{item.left} and {item.right} are {item.max_abs:.3g} apart {item.where}{_place(item)}{steps}"


def _lowered(facts: _Facts, apart: Sequence[Comparison]) -> Iterator[str]:
    """How near each runtime that is off its reference is to the float model, beside that reference."""
    off = {item.left for item in apart if is_of_reference(item)}
    for outcome in facts.having("ok"):
        lowering = outcome.lowering
        if lowering is None or outcome.pipeline not in off or lowering.sqnr_db is None or outcome.sqnr_db is None:
            continue
        yield (
            f"{lowering.side(outcome.pipeline)} has {lowering.sqnr_db:.1f} dB against the float model, "
            f"and its reference {outcome.sqnr_db:.1f} dB"
        )
        if lowering.first is not None:
            known = [cause.sentence for cause in lowering.causes if cause.kind != "unexplained"]
            yield f"first at {lowering.first.layer}: {known[0] if known else lowering.first.sentence}"


def _moving(facts: _Facts) -> Iterator[str]:
    """What changes for who moves from FX on its runtime to PT2E on its own."""
    before, after = (facts.pipelines.get(name) for name in ("fx", "pt2e"))
    if before is not None and after is not None and (told := migration(before, after, facts.comparisons)) is not None:
        yield told


def _place(item: Comparison) -> str:
    """Which step or parameter of training differs most: " (conv.weight[0, 1])"."""
    if item.at not in TRAINING_POINTS or item.max_abs_at is None:
        return ""
    return " (" + _NAMED.sub(r"\1", item.max_abs_at) + ")"


def _nearer(facts: _Facts) -> str:
    """Who is nearer to the float model, where their SQNR tells."""
    known = [(outcome.sqnr_db, outcome.pipeline) for outcome in facts.having("ok") if outcome.sqnr_db is not None]
    if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
        return ""
    (worst, _), *_, (best, name) = sorted(known)
    if best - worst < _NEARER_DB:
        return f"; both are as near to the float model ({best:.1f} and {worst:.1f} dB)"
    return f"; {name} is {best - worst:.1f} dB nearer to the float model"


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
    return [_failing(name, names, kept) + f": {message}" for (name, message), names in places.items()]


def _failing(name: str, names: list[str], kept: list[str]) -> str:
    """Which check fails on which pipelines; of their own specifications, who keeps his tells who is right."""
    if name != AS_SPECIFIED:
        return f"check {name} fails on {' and '.join(names)}"
    others = f", and {' and '.join(kept)} {'does' if len(kept) == 1 else 'do'}" if kept else ""
    verb, whose = ("does", "its") if len(names) == 1 else ("do", "their")
    return f"{' and '.join(names)} {verb} not do what {whose} quantizer says{others} (check {name})"


def _fails(check: CheckOutcome, ran: set[str]) -> bool:
    """A check that was not made on a pipeline that ran has failed: nothing vouches for it."""
    return check.status == "failed" or (check.status == "not_run" and check.pipeline in ran)


def _agreeing(facts: _Facts) -> Conclusion:
    if not facts.comparisons:
        names = ", ".join(outcome.pipeline for outcome in facts.having("ok"))
        absent = [f"{item.pipeline} is not there: {item.reason}" for item in _left_out(facts)]
        return Conclusion(verdict="checked", summary="; ".join([f"every check holds on {names}", *absent]))
    moving = tuple(_moving(facts))
    if all(item.status == "exact" for item in facts.comparisons):
        return Conclusion(verdict="exact", summary="; ".join(["equal to the bit, every check holds", *moving]))
    largest = max((item.max_abs or 0.0 for item in facts.comparisons), default=0.0)
    told = f"within tolerance, at most {largest:.3g} apart, every check holds"
    return Conclusion(verdict="close", summary="; ".join([told, *moving]))


def _left_out(facts: _Facts) -> list[PipelineOutcome]:
    return [item for item in facts.pipelines.values() if item.status in {"not_declared", "inexpressible"}]


def _said(error: ErrorReport) -> str:
    """An error's type and the first line of its message."""
    first = error.message.strip().splitlines()[0] if error.message.strip() else "no message"
    return f"{error.type.rpartition('.')[2]}: {first}"


def _unexpected_because(record: Record, expectation: Expectation | None) -> str | None:
    if expectation is None:
        if record.verdict not in UNREMARKABLE:
            return f"no expectation covers a case that is {record.verdict}"
        return "no expectation covers what it left behind" if record.traces else None
    if record.verdict in _UNTRIED:
        return _other_traces(record, expectation)
    if record.verdict != expectation.verdict:
        news = "; if it stays so, remove the expectation" if record.verdict in UNREMARKABLE else ""
        return f"expected {expectation.verdict} ({expectation.source}), but it is {record.verdict}{news}"
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
            return f"expected it of {expectation.pipeline}, but {expectation.pipeline} did not"
        if others:
            return f"expected it of {expectation.pipeline} alone, but {', '.join(others)} did too"
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
    return f"expected {', '.join(wanted)} ({expectation.source}), but {record.summary}"


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
        return f"as expected it is {record.verdict}, but these checks fail too: {', '.join(sorted(failed - named))}"
    if named - failed and record.verdict != "failed":
        return f"these checks were expected to fail and hold: {', '.join(sorted(named - failed))}"
    return None


def _other_traces(record: Record, expectation: Expectation) -> str | None:
    """That a case changed its process, which no expectation covers that does not name the check."""
    if not record.traces or LEAVES_NO_TRACE in expectation.checks:
        return None
    return f"as expected it is {record.verdict}, but these checks fail too: {LEAVES_NO_TRACE}"
