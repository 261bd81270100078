"""How many integer codes differ by how much, as bars on a canvas; the templates draw them as SVG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import CodeRow
from qatrix.report.figures import counted

_BAR, _GAP, _TALL, _LABEL = 24.0, 3.0, 48.0, 16.0
_MOST: Final = 24


@dataclass(frozen=True, kw_only=True)
class CodeBar:
    """A bar, the label below it, and both in words."""

    x: float
    y: float
    height: float
    label: str
    title: str


@dataclass(frozen=True, kw_only=True)
class CodesPlot:
    """The bars of one tensor, from the least difference to the greatest."""

    bars: tuple[CodeBar, ...]
    width: float
    height: float
    words: str
    bar: float = _BAR
    base: float = _TALL


def codes_plot(row: CodeRow) -> CodesPlot | None:
    """The histogram of one tensor's differences; None where no code differs."""
    bins = row.histogram[:_MOST]
    if not bins:
        return None
    most = max(item.count for item in bins)
    bars = tuple(_bar(place, item.low, item.high, item.count, most) for place, item in enumerate(bins))
    return CodesPlot(
        bars=bars,
        width=len(bars) * (_BAR + _GAP),
        height=_TALL + _LABEL,
        words=f"Differences of codes: {'; '.join(bar.title for bar in bars)}",
    )


def _bar(place: int, low: int, high: int, count: int, most: int) -> CodeBar:
    height = max(2.0, round(_TALL * count / most, 1))
    # Differences beyond the single ones are counted together.
    label = f"{low:+d}" if low == high else (f"≤{high:d}" if high < 0 else f"≥{low:d}")
    span = f"{low:+d}" if low == high else f"{low:+d} to {high:+d}"
    return CodeBar(
        x=place * (_BAR + _GAP),
        y=_TALL - height,
        height=height,
        label=label,
        title=f"{counted(count, 'code')} by {span}",
    )
