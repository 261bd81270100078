"""The run as data for programs: results.json and results.csv."""

from __future__ import annotations

import json
import math
from typing import Any

from qatrix.outcomes import Environment, Run
from qatrix.report import codec
from qatrix.report.figures import axis_value
from qatrix.report.frames import ReportData
from qatrix.report.frames.flat import flat_frame


def results_json(data: ReportData) -> str:
    """Every fact of the run as strictly valid JSON; equal runs give equal texts.

    Beside the keys of `outcomes.Record` and `outcomes.Run` it has `unfinished`: the ids of
    the cases without a verdict.
    """
    content = {
        "run": _run(data.run),
        "cases": [codec.to_jsonable(record) for record in data.records],
        "unfinished": list(data.unfinished),
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def results_csv(data: ReportData) -> str:
    """One row per case, one column per fact; an empty cell is "not measured"."""
    frame = flat_frame(data.records)
    return frame.map(_csv_value).to_csv(index=False, lineterminator="\n")


def _run(run: Run) -> dict[str, Any]:
    return {**codec.to_jsonable(run), "environment": _environment(run.environment)}


def _environment(environment: Environment) -> dict[str, Any]:
    """Package versions beside python, platform and devices: one flat object to read and compare."""
    fields = codec.to_jsonable(environment)
    packages: dict[str, str | None] = fields.pop("packages")
    return {**packages, **fields}


def _csv_value(value: object) -> object:
    # pandas would write NaN, which was measured, as an empty cell, which means "not measured".
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return axis_value(value) if isinstance(value, tuple) else value
