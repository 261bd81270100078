"""One flat row per record: the frame that is counted, pivoted and written as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qatrix.lowerings import Ran
from qatrix.outcomes import LOWERED, Comparison, PipelineOutcome, Record
from qatrix.report.causes import cause_key
from qatrix.report.lowered import LoweredModel, is_own, lowered_models, pipeline_of

Cell = object
LEADING = (
    "suite",
    "case_id",
    "verdict",
    "summary",
    "cause",
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
    (`<point>_<left>_<right>_<fact>` where more than one pair of pipelines was compared) and the numbers
    of checks that passed, failed and did not run. What a runtime gave has `<pipeline>_lowered_<fact>`, beside its
    own reference; `lowered_<fact>` is of the runtimes of two pipelines. None is "not measured".
    """
    (frame,) = flat_frames(records, size=len(records) or 1)
    return frame


def flat_frames(records: Sequence[Record], *, size: int) -> Iterator[pd.DataFrame]:
    """The same in frames of `size` rows, at least one: a frame of very many takes more room than the records."""
    several_pairs = len({pair for record in records for pair in _pairs(record)}) > 1
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
    groups = ("axis_", "prepare_", "train_", "convert_", "lowered_", "checks_")
    return next((rank for rank, prefix in enumerate(groups) if name.startswith(prefix)), len(groups))


def _row(record: Record, *, several_pairs: bool) -> dict[str, Cell]:
    row: dict[str, Cell] = {
        "suite": record.suite,
        "case_id": record.case_id,
        "verdict": record.verdict,
        "summary": record.summary,
        "cause": cause_key(record),
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
        if not is_own(record, comparison):
            pair = f"{'_'.join(_pair(record, comparison))}_" if several_pairs else ""
            row |= _comparison_cells(comparison, f"{comparison.at}_{pair}")
    for status in ("passed", "failed", "not_run"):
        row[f"checks_{status}"] = sum(check.status == status for check in record.checks)
    for name, outcome in record.pipelines.items():
        row |= _pipeline_cells(name, outcome)
    for model in lowered_models(record):
        row |= _lowered_cells(model)
    return row


def _pairs(record: Record) -> Iterator[tuple[str, str]]:
    """The pairs of pipelines that were compared, whether or not in their runtimes."""
    return (_pair(record, item) for item in record.comparisons if not is_own(record, item))


def _pair(record: Record, item: Comparison) -> tuple[str, str]:
    return pipeline_of(record, item.left), pipeline_of(record, item.right)


def _comparison_cells(comparison: Comparison, prefix: str) -> dict[str, Cell]:
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


def _lowered_cells(model: LoweredModel) -> dict[str, Cell]:
    name, lowering, ran = model.outcome.pipeline, model.lowering, model.lowering.ran or Ran()
    told = lowering.ran is not None
    cells: dict[str, Cell] = {
        f"{name}_runtime": model.runtime,
        f"{name}_runtime_version": lowering.version,
        f"{name}_{LOWERED}_sqnr_db": lowering.sqnr_db,
        f"{name}_{LOWERED}_variation_db": lowering.variation_db,
        f"{name}_{LOWERED}_runs_in": model.runs_in,
        f"{name}_{LOWERED}_float_ops": len(ran.float_ops) if told else None,
        f"{name}_{LOWERED}_first": lowering.first.layer if lowering.first else None,
        f"{name}_{LOWERED}_causes": ", ".join(cause.name for cause in lowering.causes) or None,
    }
    cells |= {f"{name}_{fact}": getattr(ran, fact) for fact in ("delegated", "left_over", "partitions", "size_bytes")}
    if model.off is not None:
        facts = {"status": "status", "max_abs": "max_abs", "max_steps": "steps", "mismatched": "mismatched"}
        cells |= {f"{name}_{LOWERED}_{column}": getattr(model.off, fact) for fact, column in facts.items()}
    return cells
