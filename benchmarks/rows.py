"""A row of the table, what measures it, and how figures are written in it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

_MINUTE = 60.0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement: what, the figure in words, the reach in words, whether it is reached (None: not judged here).

    `figures` holds the same as numbers, the unit in each name; `name` is that of the benchmark.
    """

    what: str
    figure: str
    figures: Mapping[str, float] = field(default_factory=dict)
    reach: str = ""
    reached: bool | None = None
    how: str = ""
    name: str = ""


Measure = Callable[[], Iterator[Row]]
Against = Callable[[str], Iterator[Row]]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A function that measures some rows, and what --quick measures instead where that would take minutes.

    `against` takes the place of both where --base names a revision.
    """

    name: str
    measure: Measure
    quick: Measure | None = None
    against: Against | None = None

    @property
    def about(self) -> str:
        """What it measures, in one line."""
        return (inspect.getdoc(self.measure) or "").partition("\n")[0]


def measured(benchmark: Benchmark, *, quick: bool = False, base: str | None = None) -> Iterator[Row]:
    """The rows of a benchmark; one that fails is a row that says so, and the others go on."""
    measure = benchmark.quick if quick and benchmark.quick else benchmark.measure
    if base is not None and benchmark.against is not None:
        measure = functools.partial(benchmark.against, base)
    try:
        for row in measure():
            yield replace(row, name=benchmark.name)
    except Exception as error:  # noqa: BLE001 - the table is worth having without one of its rows
        figure = f"failed: {type(error).__name__}: {error}"
        yield Row(name=benchmark.name, what=benchmark.about, figure=figure, reached=False)


def seconds(value: float) -> str:
    """Seconds as people write them: "12 ms", "3.4 s", "14 min 5 s"."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < _MINUTE:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def ratio(slow: float, fast: float) -> str:
    """How many times as fast, with both figures: "140 times (16.8 s, 120 ms)"."""
    times = slow / fast
    return f"{times:.3g} times ({seconds(slow)}, {seconds(fast)})"
