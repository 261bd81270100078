"""What there is to say about a case or a run, as plain lines: for every display that is only text."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from qatrix.claims import LEAVES_NO_TRACE
from qatrix.outcomes import CheckOutcome, Comparison, PipelineOutcome, Record
from qatrix.report.figures import NOT_MEASURED, clipped, counted, decibels, number
from qatrix.report.lowered import lowered_line, lowered_models
from qatrix.report.transitions import Standing
from qatrix.report.vocabulary import VERDICTS, status_words
from qatrix.text import steps_apart

_LIMIT = 1000


def case_lines(record: Record) -> tuple[str, ...]:
    """The verdict in words, why it was or was not expected, then the facts behind it."""
    return tuple(_lines(record))


def comparison_line(comparison: Comparison) -> str:
    """For instance "convert: diverged, at most 0.083 apart (3 quantization steps), 412 of 900 values out"."""
    words = [status_words(comparison.status)[1]]
    if comparison.max_abs is not None and comparison.status != "exact":
        steps = "" if comparison.max_steps is None else f" ({steps_apart(number(comparison.max_steps))})"
        words.append(f"at most {number(comparison.max_abs)} apart{steps}")
    if comparison.mismatched:
        words.append(f"{comparison.mismatched} of {comparison.total} values out of tolerance")
    if comparison.message:
        words.append(clipped(comparison.message, _LIMIT))
    return f"{comparison.left} and {comparison.right} {comparison.where}: {', '.join(words)}"


def check_line(check: CheckOutcome) -> str:
    """For instance "check fused_qat_graph on pt2e: failed, …"; what a case left behind has lines of its own."""
    told = check.message if check.name != LEAVES_NO_TRACE else None
    message = f", {clipped(told, _LIMIT)}" if told else ""
    return f"check {check.name} on {check.pipeline}: {status_words(check.status)[1]}{message}"


def pipeline_line(outcome: PipelineOutcome) -> str:
    """For instance "fx: failed at prepare, NotImplementedError: …"; one that ran says its SQNR and whose it is."""
    words = [status_words(outcome.status)[1] + (f" at {outcome.failed_stage}" if outcome.failed_stage else "")]
    if outcome.error is not None:
        words.append(f"{outcome.error.type.rpartition('.')[2]}: {clipped(outcome.error.message, _LIMIT)}")
    if outcome.reason:
        words.append(clipped(outcome.reason, _LIMIT))
    if outcome.sqnr_db is not None:
        words.append(f"SQNR {decibels(outcome.sqnr_db)} dB")
    if outcome.origin is not None and outcome.origin.distribution is not None:
        words.append(f"of {outcome.origin.distribution} {outcome.origin.version}")
    return f"{outcome.pipeline}: {', '.join(words)}"


def _lines(record: Record) -> Iterator[str]:
    yield record.summary
    if record.unexpected_because:
        yield f"not expected: {clipped(record.unexpected_because, _LIMIT)}"
    if record.reason:
        yield clipped(record.reason, _LIMIT)
    if record.error is not None:
        yield f"{record.error.type}: {clipped(record.error.message, _LIMIT)}"
    yield from map(pipeline_line, record.pipelines.values())
    yield from map(lowered_line, lowered_models(record))
    yield from map(comparison_line, record.comparisons)
    yield from (check_line(check) for check in record.checks if check.status != "passed" or check.message)
    yield from (f"left behind: {clipped(trace, _LIMIT)}" for trace in record.traces)
    yield f"declared at {record.source.file}:{record.source.line}"


def standing(record: Standing | None) -> str:
    """What became of a case in a few words: "diverged (unexpected)"; "–" where a run does not have it."""
    if record is None:
        return NOT_MEASURED
    return f"{VERDICTS[record.verdict].word}{' (unexpected)' if record.unexpected else ''}"


def reused_sentence(count: int, total: int) -> str:
    """That so many of all results are those of earlier runs."""
    verb, reuse = ("has", "reuses its") if count == 1 else ("have", "reuse their")
    return (
        f"{count} of {counted(total, 'case')} {verb} not changed since an earlier run and {reuse} result;"
        " qatrix run --fresh runs every case again."
    )


def missing_sentence(missing: Sequence[str]) -> str:
    """That shards are missing, as a sentence: "shard 3 of 8 is missing; its cases are not in the report"."""
    indices = ", ".join(shard.partition("/")[0] for shard in missing)
    count = missing[0].partition("/")[2]
    if len(missing) == 1:
        return f"shard {indices} of {count} is missing; its cases are not in the report"
    return f"shards {indices} of {count} are missing; their cases are not in the report"


def missing_scripts_sentence(scripts: Collection[str], notes: Collection[str]) -> str | None:
    """How many cases have a note in the place of their script, by the ids of both; None where none has."""
    missing = len(set(notes) - set(scripts))
    if not missing:
        return None
    of = counted(missing + len(scripts), "script")
    return f"{missing} of {of} could not be made; the report says why"
