"""The lines of figures that a case's script prints: what they must be, by the record; what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.claims import DETERMINISTIC_EVAL, SURVIVES_LIFECYCLE
from qatrix.outcomes import LOWERED, OTHERWISE, CheckOutcome, Comparison, ErrorReport, PipelineOutcome, Record

# Where an object or a file lies differs from process to process.
_PLACES: Final = re.compile(r"0x[0-9a-fA-F]+")


def expected_lines(record: Record) -> tuple[str, ...]:
    """The lines that the case's script must print, to the bit: floats are written as repr does."""
    return tuple(_lines(record))


def figure_lines(output: str) -> tuple[str, ...]:
    """The lines of figures in what a script printed; what is indented is for people."""
    return tuple(line for line in output.splitlines() if line and not line[0].isspace())


def same_lines(found: Sequence[str], expected: Sequence[str]) -> bool:
    """Whether they are the same, but for addresses in error messages."""
    return list(map(_placeless, found)) == list(map(_placeless, expected))


def shows_counts(record: Record | None) -> bool:
    """Whether the numbers of quantize and dequantize ops say something: they differ, or a pipeline has none."""
    if record is None or record.verdict == "unquantized":
        return True
    counts = {(item.quantize_ops, item.dequantize_ops) for item in record.pipelines.values() if _is_counted(item)}
    return len(counts) > 1


def changed_by_lifecycle(record: Record) -> frozenset[str]:
    """The pipelines that give other values with the case's lifecycle than without it."""
    return frozenset(
        check.pipeline
        for check in record.checks
        if check.name == SURVIVES_LIFECYCLE and check.status == "failed" and OTHERWISE in (check.message or "")
    )


def _lines(record: Record) -> Iterator[str]:
    if record.verdict == "invalid" and record.error is not None:
        yield f"the float model failed: {error_line(record.error)}"
        return
    for outcome in record.pipelines.values():
        if outcome.status == "failed" and outcome.error is not None:
            yield f"{outcome.pipeline}: failed at {outcome.failed_stage}: {error_line(outcome.error)}"
        yield from (f"{check.pipeline}: two seeds give two outputs" for check in _random(record, outcome.pipeline))
        if outcome.pipeline in changed_by_lifecycle(record):
            yield f"{outcome.pipeline}: {OTHERWISE} without {record.axes['lifecycle']}"
    of_pipelines = [item for item in record.comparisons if item.at != LOWERED]
    several = len(of_pipelines) > len({item.at for item in of_pipelines})
    yield from (_comparison_line(item, named=several) for item in of_pipelines)
    yield from (_lowered_line(item) for item in record.comparisons if item.at == LOWERED)
    for outcome in record.pipelines.values():
        if outcome.is_converted:
            yield _sqnr_line(outcome.pipeline, outcome.sqnr_db)
        if outcome.lowering is not None:
            yield _sqnr_line(outcome.lowering.side(outcome.pipeline), outcome.lowering.sqnr_db)
    if shows_counts(record):
        yield from (_counts_line(outcome) for outcome in record.pipelines.values() if _is_counted(outcome))


def error_line(error: ErrorReport) -> str:
    """An error's type without its module, and the first line of its message."""
    first = (error.message.strip() or "no message").splitlines()[0]
    return f"{error.type.rpartition('.')[2]}: {first}"


def _random(record: Record, pipeline: str) -> list[CheckOutcome]:
    return [
        check
        for check in record.checks
        if check.name == DETERMINISTIC_EVAL and check.pipeline == pipeline and check.status == "failed"
    ]


def _comparison_line(item: Comparison, *, named: bool) -> str:
    """What the pipelines are apart; `named` where there are more than two."""
    where = f"{item.left} and {item.right} {item.where}" if named else item.where
    if item.status == "mismatched":
        return f"{where}: cannot be compared"
    return f"{where}: max abs difference {item.max_abs!r}, {item.mismatched} of {item.total} values out of tolerance"


def _is_counted(outcome: PipelineOutcome) -> bool:
    return outcome.quantize_ops is not None


def _lowered_line(item: Comparison) -> str:
    """What a runtime and another side are apart, and in quantization steps of the outputs."""
    where = f"{item.left} and {item.right} {item.where}"
    if item.status == "mismatched":
        return f"{where}: cannot be compared"
    steps = "" if item.max_steps is None else f", {item.max_steps!r} steps"
    return f"{where}: max abs difference {item.max_abs!r}{steps}"


def _sqnr_line(name: str, sqnr_db: float | None) -> str:
    told = "undefined" if sqnr_db is None else f"{sqnr_db!r} dB"
    return f"{name}: SQNR {told}"


def _counts_line(outcome: PipelineOutcome) -> str:
    return f"{outcome.pipeline}: {outcome.quantize_ops} quantize and {outcome.dequantize_ops} dequantize ops"


def _placeless(line: str) -> str:
    return _PLACES.sub("0x…", line)
