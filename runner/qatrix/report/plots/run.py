"""The plots of a whole run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.figures import axis_value
from qatrix.report.frames import ReportData
from qatrix.report.plots.bars import Bars, stage_bars, step_bars
from qatrix.report.plots.scatter import Scatter, scatter

_PAIR: Final = 2
# Small ones: a page of a hundred patterns shows those that differ most.
_MULTIPLES: Final = 24
_SMALL_POINTS: Final = 60


@dataclass(frozen=True, kw_only=True)
class PatternPlot:
    """The scatter of one pattern's cases."""

    pattern: str
    cases: int
    unexpected: int
    scatter: Scatter


@dataclass(frozen=True, kw_only=True)
class RunPlots:
    """All plots of a run; `left_out` patterns have none because others differ more."""

    sqnr: Scatter | None
    steps: tuple[Bars, ...]
    stages: tuple[Bars, ...]
    patterns: tuple[PatternPlot, ...]
    left_out: int

    def __bool__(self) -> bool:
        """Whether there is anything to draw."""
        return bool(self.sqnr or self.steps or self.stages)


def run_plots(data: ReportData) -> RunPlots:
    """The plots of a run's records; of several pipelines the first two stand against one another."""
    names = data.pipelines[:_PAIR]
    pair = (names[0], names[1]) if len(names) == _PAIR else None
    patterns = _patterns(data.records, pair) if pair else ()
    steps = (step_bars(data.records, point) for point in data.points)
    stages = (stage_bars(data.records, name) for name in data.pipelines)
    return RunPlots(
        sqnr=scatter(data.records, pair) if pair else None,
        steps=tuple(item for item in steps if item),
        stages=tuple(item for item in stages if item),
        patterns=patterns[:_MULTIPLES],
        left_out=max(0, len(patterns) - _MULTIPLES),
    )


def _patterns(records: Sequence[Record], pair: tuple[str, str]) -> tuple[PatternPlot, ...]:
    """Those with the most cases off the diagonal first; one pattern alone is the whole run's plot again."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        if record.axes.get("pattern") is not None:
            groups.setdefault(axis_value(record.axes["pattern"]), []).append(record)
    made = [
        PatternPlot(pattern=name, cases=len(group), unexpected=sum(item.unexpected for item in group), scatter=drawn)
        for name, group in groups.items()
        if (drawn := scatter(group, pair, most=_SMALL_POINTS))
    ]
    return tuple(sorted(made, key=lambda item: -_share_off(item))) if len(made) > 1 else ()


def _share_off(item: PatternPlot) -> float:
    return item.scatter.off / item.scatter.total if item.scatter.total else -math.inf
