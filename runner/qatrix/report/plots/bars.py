"""Counts and times as bars: step differences, and where the time goes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.outcomes import RUNTIME_STAGES, STAGES, Record
from qatrix.report.figures import duration

# Upper ends of the classes of step differences; the last has none.
_STEPS: Final = ((0.0, "0"), (0.01, "up to 0.01"), (0.5, "up to ½"), (1.0, "up to 1"), (2.0, "up to 2"))
_MORE_STEPS: Final = ((4.0, "up to 4"), (16.0, "up to 16"), (math.inf, "more"))


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar: its label, its value in words, and its length in percent of the longest."""

    label: str
    told: str
    length: float


@dataclass(frozen=True, kw_only=True)
class Bars:
    """Bars under a title, and the sum of all in words."""

    title: str
    bars: tuple[Bar, ...]
    total: str


def step_bars(records: Sequence[Record], point: str) -> Bars | None:
    """How many cases are how many quantization steps apart at a point; None where none was measured."""
    steps = [step for record in records if (step := _steps(record, point)) is not None]
    if not steps:
        return None
    classes = (*_STEPS, *_MORE_STEPS)
    counts = dict.fromkeys((name for _, name in classes), 0)
    for value in steps:
        counts[next(name for limit, name in classes if value <= limit)] += 1
    bars = _bars([(name, count, str(count)) for name, count in counts.items()])
    return Bars(title=point, bars=bars, total=str(len(steps)))


def stage_bars(records: Sequence[Record], pipeline: str) -> Bars | None:
    """How many seconds a pipeline took for each stage, over all cases; None where it took none."""
    seconds: dict[str, float] = dict.fromkeys((*STAGES, *RUNTIME_STAGES), 0.0)
    for record in records:
        outcome = record.pipelines.get(pipeline)
        for stage in outcome.stages if outcome and record.reused_from is None else ():
            if math.isfinite(stage.seconds):
                seconds[stage.name] = seconds.get(stage.name, 0.0) + stage.seconds
    total = sum(seconds.values())
    if total <= 0:
        return None
    rows = [
        (name, taken, f"{duration(taken)}, {100 * taken / total:.0f} %") for name, taken in seconds.items() if taken
    ]
    return Bars(title=pipeline, bars=_bars(rows), total=duration(total))


def _steps(record: Record, point: str) -> float | None:
    steps = (item.max_steps for item in record.comparisons if item.at == point)
    return max((step for step in steps if step is not None and not math.isnan(step)), default=None)


def _bars(rows: Iterable[tuple[str, float, str]]) -> tuple[Bar, ...]:
    kept = list(rows)
    longest = max((value for _, value, _ in kept), default=0.0) or 1.0
    return tuple(Bar(label=name, told=told, length=round(100 * value / longest, 1)) for name, value, told in kept)
