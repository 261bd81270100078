"""What a run wrote, read back."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from qatrix.outcomes import ErrorReport, Record


def results(folder: Path) -> dict[str, Any]:
    """The content of a run's results.json."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content


def without_times(record: Record) -> Record:
    """A record as it is in every run of the same case: all but its times and how much code was generated before it."""
    pipelines = {
        name: replace(
            outcome,
            stages=tuple(replace(stage, seconds=0.0) for stage in outcome.stages),
            error=None if outcome.error is None else _the_same_everywhere(outcome.error),
        )
        for name, outcome in record.pipelines.items()
    }
    diagnosis = None if record.diagnosis is None else replace(record.diagnosis, seconds=0.0)
    return replace(record, pipelines=pipelines, diagnosis=diagnosis, seconds=0.0)


def _the_same_everywhere(error: ErrorReport) -> ErrorReport:
    """The error with one name for all code that torch generates, which it numbers, and without marks below lines.

    Code whose coverage is measured has no columns, and that of workers is not measured.
    """
    unmarked = re.sub(r"^ *[~^]+\n", "", error.traceback, flags=re.MULTILINE)
    return replace(error, traceback=re.sub(r"<eval_with_key>\.\d+", "<generated>", unmarked))
