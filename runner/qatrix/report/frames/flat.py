"""One flat row per record: the frame that is counted, pivoted and written as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qatrix.outcomes import Comparison, PipelineOutcome, Record

Cell = object
LEADING = (
    "suite",
    "case_id",
    "verdict",
    "summary",
    "expected_verdict",
    "expected_because",
    "unexpected",
    "unexpected_because",
    "reason",
    "seconds",
    "seed",
    "traces",
    "reused_from",
)


def flat_frame(records: Sequence[Record]) -> pd.DataFrame:
    """One row per record and one column per fact, numbers as they were measured.

    Columns are `axis_<name>`, `<pipeline>_<fact>`, `<point>_<fact>` of a comparison
    (`<point>_<left>_<right>_<fact>` where more than one pair was compared) and the numbers
    of checks that passed, failed and did not run. None is "not measured".
    """
    (frame,) = flat_frames(records, size=len(records) or 1)
    return frame


def flat_frames(records: Sequence[Record], *, size: int) -> Iterator[pd.DataFrame]:
    """The same in frames of `size` rows, at least one: a frame of very many takes more room than the records."""
    several_pairs = len({(item.left, item.right) for record in records for item in record.comparisons}) > 1
    names = dict.fromkeys(name for record in records for name in _row(record, several_pairs=several_pairs))
    leading = [name for name in LEADING if name in names] or list(LEADING)
    # Grouped by kind, whatever case comes first: axes, comparisons, checks, then pipelines.
    rest = sorted((name for name in names if name not in LEADING), key=_group)
    for start in range(0, len(records) or 1, size):
        rows = (_row(record, several_pairs=several_pairs) for record in records[start : start + size])
        # Cell by cell: pandas would fill what a row lacks with NaN, which is a measured value.
        cells = [[row.get(name) for name in (*leading, *rest)] for row in rows]
        yield pd.DataFrame(cells, columns=[*leading, *rest], dtype=object)


def pipeline_names(records: Sequence[Record]) -> tuple[str, ...]:
    """The pipelines of all records, in the order in which records name them."""
    return tuple(dict.fromkeys(name for record in records for name in record.pipelines))


def _group(name: str) -> int:
    groups = ("axis_", "prepare_", "train_", "convert_", "checks_")
    return next((rank for rank, prefix in enumerate(groups) if name.startswith(prefix)), len(groups))


def _row(record: Record, *, several_pairs: bool) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "suite": record.suite,
        "case_id": record.case_id,
        "verdict": record.verdict,
        "summary": record.summary,
        "expected_verdict": record.expected.verdict if record.expected else None,
        "expected_because": record.expected.because if record.expected else None,
        "unexpected": record.unexpected,
        "unexpected_because": record.unexpected_because,
        "reason": record.reason,
        "seconds": record.seconds,
        "seed": record.seed,
        "traces": "; ".join(record.traces) or None,
        "reused_from": record.reused_from,
    }
    row |= {f"axis_{name}": value for name, value in record.axes.items()}
    for comparison in record.comparisons:
        row |= _comparison_cells(comparison, several_pairs=several_pairs)
    for status in ("passed", "failed", "not_run"):
        row[f"checks_{status}"] = sum(check.status == status for check in record.checks)
    for name, outcome in record.pipelines.items():
        row |= _pipeline_cells(name, outcome)
    return row


def _comparison_cells(comparison: Comparison, *, several_pairs: bool) -> dict[str, Cell]:
    pair = f"{comparison.left}_{comparison.right}_" if several_pairs else ""
    prefix = f"{comparison.at}_{pair}"
    facts = ("status", "max_abs", "max_rel", "max_steps", "mismatched", "total", "tolerance_used", "rtol", "atol")
    return {f"{prefix}{fact}": getattr(comparison, fact) for fact in facts}


def _pipeline_cells(name: str, outcome: PipelineOutcome) -> dict[str, Cell]:
    facts = ("status", "reason", "failed_stage", "sqnr_db", "variation_db", "fake_quantizes")
    counts = ("quantize_ops", "dequantize_ops", "batch_norms_left")
    cells: dict[str, Cell] = {f"{name}_{fact}": getattr(outcome, fact) for fact in (*facts, *counts)}
    cells[f"{name}_error_type"] = outcome.error.type if outcome.error else None
    cells[f"{name}_error_message"] = outcome.error.message if outcome.error else None
    for stage in outcome.stages:
        # A stage of a quantizer with phases occurs several times; its time is the sum.
        column = f"{name}_{stage.name}_seconds"
        known = cells.get(column)
        cells[column] = stage.seconds + (known if isinstance(known, float) else 0.0)
    return cells
