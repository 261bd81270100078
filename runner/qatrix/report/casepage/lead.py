"""The beginning of a case's page: what differs first, why, who is closer to the float model, was it expected."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import Cause, Diagnosis, Divergence, LayerRow, PointDiagnosis
from qatrix.outcomes import COMPARED, NOT_RUN, CheckOutcome, Comparison, PipelineOutcome, Record, is_of_reference
from qatrix.report.declaring import needs_declaring
from qatrix.report.figures import after_because, clipped, counted, decibels, listed, number, tolerance_used
from qatrix.report.lowered import LoweredModel, lowered_models
from qatrix.report.vocabulary import VERDICTS, status_words
from qatrix.text import steps

_LIMIT: Final = 1000
# Causes that are told before the rest is folded; a network of a hundred layers may have one for each.
MOST_CAUSES: Final = 3
# The name of a cause that is a loss of all pipelines, which may agree with one another.
_LOSS: Final = "shared_loss"
_SAME: Final = frozenset({"exact", "close"})
_VERBS: Final = {
    "diverged": "diverges",
    "failed": "fails",
    "check_failed": "fails a check",
    "unquantized": "quantizes nothing",
    "crashed": "crashes",
    "timed_out": "times out",
    "invalid": "is invalid",
}


@dataclass(frozen=True, kw_only=True)
class Lead:
    """The answers that come first.

    `first` are one or two lines on what differs, `causes` the reasons, those of the first difference before
    others, under the heading `why`; `closer` says who is closer to the float model, None where nobody was asked;
    `expected` says whether the verdict was declared.
    """

    first: tuple[str, ...]
    why: str
    causes: tuple[Cause, ...]
    closer: str | None
    expected: str | None


def lead(record: Record) -> Lead:
    """What the page of a case and the terminal say of it before anything else."""
    return Lead(
        first=tuple(clipped(line, _LIMIT) for line in _first(record)),
        why=_why(record),
        causes=_causes(record),
        closer=None if record.diagnosis is None else _closer(record.diagnosis),
        expected=_expected(record),
    )


def lead_lines(record: Record) -> tuple[str, ...]:
    """The same as plain lines, evidence indented: what differs, why, who is closer, whether it was expected."""
    told = lead(record)
    return (
        *told.first,
        *_cause_lines(told.causes),
        *([f"{told.closer} A higher SQNR is closer."] if told.closer else []),
        *([clipped(f"{told.expected}{_source(record)}", _LIMIT)] if told.expected else []),
    )


def _cause_lines(causes: Sequence[Cause]) -> Iterator[str]:
    for cause in causes[:MOST_CAUSES]:
        yield f"Cause ({cause_badge(cause)}): {cause.sentence}."
        yield from (f"  {line}" for line in cause.evidence)
    if len(causes) > MOST_CAUSES:
        yield f"{counted(len(causes) - MOST_CAUSES, 'more cause')} in the report."


def _source(record: Record) -> str:
    return f" ({record.expected.source})" if record.expected is not None else ""


def cause_badge(cause: Cause) -> str:
    """What kind of cause it is, in a word or two: "only fx", "by design"."""
    if cause.kind == "one_pipeline":
        return f"only {cause.pipeline}" if cause.pipeline else "one pipeline"
    return {"by_design": "by design", "defect": "defect", "unexplained": "unexplained"}[cause.kind]


def first_row(diagnosis: Diagnosis) -> tuple[PointDiagnosis, LayerRow] | None:
    """The point and the row of the first difference, None where there is none."""
    first = diagnosis.first
    if first is None:
        return None
    for point in diagnosis.points:
        if point.at == first.at:
            row = next((row for row in point.layers if (row.layer, row.value) == (first.layer, first.value)), None)
            return None if row is None else (point, row)
    return None


def steps_in_words(count: float) -> str:
    """For instance "1 step", "0.5 step", "12 steps": steps of quantization, as a fraction or a whole."""
    return steps(number(count))


def _first(record: Record) -> Iterator[str]:
    yield from _stopped(record)
    diagnosis, runtimes = record.diagnosis, [model for model in lowered_models(record) if model.lowering.first]
    if diagnosis is not None and diagnosis.first is not None:
        yield _difference(diagnosis, diagnosis.first)
    elif runtimes:
        yield from map(_departure, runtimes)
    elif apart := [item for item in record.comparisons if item.status not in _SAME]:
        yield from map(_apart, apart[:1])
    elif record.verdict == "check_failed":
        yield _failed_checks(record)
    elif record.verdict in {"exact", "close", "checked"}:
        yield _agreement(record)
    elif record.verdict == "unavailable" and record.comparisons:
        yield _agreement_of_the_rest(record)


def _stopped(record: Record) -> Iterator[str]:
    """Why there may be nothing to compare: it did not run, something raised, or nothing was quantized."""
    if record.verdict in NOT_RUN:
        yield f"{VERDICTS[record.verdict].word.capitalize()}: {record.reason or record.summary}"
    elif record.error is not None:
        yield f"{record.error.type.rpartition('.')[2]}: {record.error.message}"
    elif record.verdict in {"timed_out", "crashed", "invalid"}:
        yield record.reason or record.summary
    for outcome in record.pipelines.values():
        if outcome.status == "failed":
            yield _raised(outcome)
        elif record.verdict == "unquantized" and _quantizes_nothing(outcome):
            yield f"{outcome.pipeline} silently quantizes nothing."


def _raised(outcome: PipelineOutcome) -> str:
    stage = f" at {outcome.failed_stage}" if outcome.failed_stage else ""
    if outcome.error is None:
        return f"{outcome.pipeline} failed{stage}."
    return f"{outcome.pipeline} failed{stage}: {outcome.error.type.rpartition('.')[2]}: {outcome.error.message}"


def _quantizes_nothing(outcome: PipelineOutcome) -> bool:
    return outcome.status == "ok" and not outcome.quantize_ops and not outcome.fake_quantizes


def _difference(diagnosis: Diagnosis, first: Divergence) -> str:
    """For instance "First difference after prepare: conv. Same inputs, outputs differ by 0.00255 (0.5 step)."."""
    found = first_row(diagnosis)
    covers = f" (computed as one with {listed(first.covers)})" if first.covers else ""
    where = f"First difference {COMPARED.get(first.at, f'after {first.at}')}: {first.layer}{covers}."
    if found is None:
        return f"{where} {first.sentence}"
    row = found[1]
    if row.status in {"left_only", "right_only"}:
        who, other = diagnosis.left, diagnosis.right
        who, other = (who, other) if row.status == "left_only" else (other, who)
        return f"{where} {who} quantizes its output, {other} leaves it in float{_by(row)}."
    same = "Same inputs, outputs" if row.value == "computed" else "Same values before quantization, values after it"
    within = ", within tolerance" if first.within_tolerance else ""
    return f"{where} {same} {_differ(row)}{within}."


def _differ(row: LayerRow) -> str:
    if row.max_abs is None:
        return f"cannot be compared{f': {row.note}' if row.note else ''}"
    return f"differ by {number(row.max_abs)}{_in_steps(row.max_steps)}"


def _by(row: LayerRow) -> str:
    return "" if not row.max_abs else f", which makes a difference of {number(row.max_abs)}{_in_steps(row.max_steps)}"


def _in_steps(count: float | None) -> str:
    return "" if count is None else f" ({steps_in_words(count)})"


def _departure(model: LoweredModel) -> str:
    first = model.lowering.first
    if first is None:
        return ""
    kernel = f", which {first.kernel} computes" if first.kernel else ""
    by = "" if first.max_abs is None else f" differ by {number(first.max_abs)}{_in_steps(first.max_steps)}"
    off = f" Same inputs, outputs{by}." if by else ""
    return f"First difference between {model.deployed} and its reference: {first.layer}{kernel}.{off}"


def _apart(item: Comparison) -> str:
    sides = f"{item.left} and {item.right}"
    if item.max_abs is None:
        return f"{sides} cannot be compared {item.where}: {item.message or status_words(item.status)[1]}."
    return f"{sides} differ by {number(item.max_abs)}{_in_steps(item.max_steps)} {item.where}."


def failed_checks(checks: Sequence[CheckOutcome]) -> tuple[tuple[str, str | None, str], ...]:
    """Name, message and pipelines of the checks that failed; what is said alike of several pipelines is said once."""
    failed: dict[tuple[str, str | None], list[str]] = {}
    for check in checks:
        if check.status == "failed":
            failed.setdefault((check.name, check.message), []).append(check.pipeline)
    return tuple((name, message, listed(pipelines)) for (name, message), pipelines in failed.items())


def _failed_checks(record: Record) -> str:
    failed: dict[str, list[str]] = {}
    for check in record.checks:
        if check.status == "failed":
            failed.setdefault(check.name, []).append(check.pipeline)
    told = [f"{name} on {listed(pipelines)}" for name, pipelines in failed.items()]
    compared = [item for item in record.comparisons if item.status in _SAME]
    agree = " The numbers agree." if compared else ""
    if uncompared := _uncompared(record, compared):
        agree = f" Each runtime gives what its reference gives; {uncompared}."
    return f"Failed {'check' if len(told) == 1 else 'checks'}: {listed(told)}.{agree}"


def _uncompared(record: Record, compared: Sequence[Comparison]) -> str:
    """That nothing is known of the pipelines side by side, where each is compared with its own runtime alone."""
    ran = [name for name, outcome in record.pipelines.items() if outcome.status == "ok"]
    if len(ran) <= 1 or not compared or not all(map(is_of_reference, compared)):
        return ""
    return f"{listed(ran)} are not compared with each other"


def _agreement(record: Record) -> str:
    compared = [item for item in record.comparisons if item.status in _SAME]
    checks = counted(sum(check.status == "passed" for check in record.checks), "check")
    if not compared:
        return f"Nothing is compared. {checks} passed." if record.verdict != "checked" else record.summary
    uncompared = _uncompared(record, compared)
    if all(item.status == "exact" for item in compared):
        agree = "No difference: every output is bit-identical"
        each = "Each runtime gives what its reference gives"
        return f"{f'{each}; {uncompared}' if uncompared else agree}. {checks} passed."
    worst = max(compared, key=lambda item: item.max_abs or 0.0)
    used = "" if worst.tolerance_used is None else f", {tolerance_used(worst.tolerance_used)} of the tolerance"
    most = f"at most {number(worst.max_abs)}{used} ({worst.where})"
    if uncompared:
        each = "Each runtime gives what its reference gives, within tolerance"
        return f"{each}: {most}; {uncompared}. {checks} passed."
    return f"No difference beyond tolerance: {most}. {checks} passed."


def _why(record: Record) -> str:
    """The heading of the causes: they may be of what both lose alike, where nothing differs."""
    found = (record.diagnosis, *(model.lowering for model in lowered_models(record)))
    if any(item is not None and item.first is not None for item in found):
        return "Why they differ"
    if any(item.status not in _SAME for item in record.comparisons):
        return "Why they differ"
    return "Why they lose accuracy" if all(cause.name == _LOSS for cause in _causes(record)) else "Why"


def _agreement_of_the_rest(record: Record) -> str:
    """What is equal where a pipeline is missing and others ran: "pt2e and fx: no difference."."""
    pairs: dict[str, set[str]] = {}
    for item in record.comparisons:
        pairs.setdefault(listed((item.left, item.right)), set()).add(item.status)
    told = (
        f"{pair}: no difference{'' if found == {'exact'} else ' beyond tolerance'}" for pair, found in pairs.items()
    )
    return f"{'; '.join(told)}."


def _causes(record: Record) -> tuple[Cause, ...]:
    """Those of the first difference before others, those of runtimes last."""
    own = sorted(record.diagnosis.causes, key=lambda cause: not cause.explains_first) if record.diagnosis else []
    return (*own, *(cause for model in lowered_models(record) for cause in model.lowering.causes))


def _closer(diagnosis: Diagnosis) -> str | None:
    """Who is closer to the float model, by SQNR: the greater, the closer."""
    last = diagnosis.points[-1] if diagnosis.points else None
    if last is None or diagnosis.nearer_because is None:
        return None
    pair = (last.sqnr_db.get(diagnosis.left), last.sqnr_db.get(diagnosis.right))
    if last.nearer is not None:
        return f"{_who(diagnosis, last.nearer, pair)}."
    found = first_row(diagnosis)
    if diagnosis.nearer is not None and found is not None:
        row = found[1]
        there = _who(diagnosis, diagnosis.nearer, (row.left_sqnr_db, row.right_sqnr_db), at=f" at {row.layer}")
        return f"{there}; at the output both are equally close (SQNR {_pair(pair)})."
    if "quantizes nothing" in diagnosis.nearer_because:
        return f"SQNR {_pair(pair)} does not decide who is right: a program that quantizes nothing is close to float."
    if None in pair:
        return f"Who is closer to the float model is not known: {diagnosis.nearer_because}."
    return f"{diagnosis.left} and {diagnosis.right} are equally close to the float model (SQNR {_pair(pair)})."


def _who(diagnosis: Diagnosis, nearer: str, pair: tuple[float | None, float | None], at: str = "") -> str:
    pair = pair if nearer == diagnosis.left else (pair[1], pair[0])
    return f"{nearer} is closer to the float model{at} (SQNR {_pair(pair)})"


def _pair(pair: tuple[float | None, float | None]) -> str:
    return f"{decibels(pair[0])} against {decibels(pair[1])} dB"


def _expected(record: Record) -> str | None:
    """Whether the verdict was declared: "Expected: diverges, because …"; None where nothing needs to be."""
    if record.unexpected:
        because = record.unexpected_because or ""
        if record.expected is None and needs_declaring(record):
            return "Not expected: no entry under `expected` covers this case."
        return f"Not expected: {because}." if because else "Not expected."
    expected = record.expected
    if expected is None:
        return None
    in_which = f" in {expected.pipeline}" if expected.pipeline else ""
    stage = f" at {expected.stage}" if expected.stage else ""
    verb = _VERBS.get(expected.verdict, VERDICTS[expected.verdict].word)
    return f"Expected: {verb}{in_which}{stage}, because {after_because(expected.because)}"
