"""What a run wrote, read back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from qatrix.outcomes import Record


def results(folder: Path) -> dict[str, Any]:
    """The content of a run's results.json."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content


def without_times(record: Record) -> Record:
    """A record as it is in every run of the same case: all of it but how long it took."""
    pipelines = {
        name: replace(outcome, stages=tuple(replace(stage, seconds=0.0) for stage in outcome.stages))
        for name, outcome in record.pipelines.items()
    }
    diagnosis = None if record.diagnosis is None else replace(record.diagnosis, seconds=0.0)
    return replace(record, pipelines=pipelines, diagnosis=diagnosis, seconds=0.0)
