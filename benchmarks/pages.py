"""The report page: how large it is, how long it takes to write, and how soon it answers in Chromium."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.processes import Ended, python
from benchmarks.reading import ARGUMENTS, browser_path, default_page, typed
from benchmarks.rows import Row, seconds
from benchmarks.selection import CONV_BN, shipped
from benchmarks.waiting import exact
from qatrix.resources import folder

_MIB: Final = 2**20
# From the change of a filter to the frame that shows it.
_FILTER: Final = """async () => {
  const field = document.getElementById("query");
  const times = [];
  for (const value of ["verdict:failed", "", "verdict:exact", "", "verdict:failed"]) {
    const began = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
    times.push(performance.now() - began);
  }
  return Math.max(...times) / 1000;
}"""


def first_page(*, newest: Path | None = None) -> Iterator[Row]:
    """The report of the default run as its readers have it, then of 1,000 and 5,000 cases: size, writing, answers."""
    yield from default_page(newest=newest)
    yield from _page(1000, written_under=3.0, opens_under=1.0)
    yield _many_typed(5000)


def _many_typed(count: int) -> Row:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        out = Path(place) / "out"
        python("-c", _KEEP, str(Path(place) / "run.sqlite"), str(count))
        python("-c", _WRITE, str(Path(place) / "run.sqlite"), str(out))
        browser = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS.split())
        row = typed(browser, out / "index.html", f"{count:,} cases")
        browser.close()
    return row


def large_page(*, count: int = 100_000) -> Iterator[Row]:
    """The report of a hundred thousand cases: writing, memory, and how soon its table answers and filters."""
    yield from _page(count, written_under=60.0, opens_under=2.0)


def _page(count: int, *, written_under: float, opens_under: float) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "out"
        python("-c", _KEEP, str(Path(place) / "run.sqlite"), str(count))
        ended = python("-c", _WRITE, str(Path(place) / "run.sqlite"), str(out))
        yield _written(count, ended, out, written_under)
        yield from _opened(count, out, opens_under)


def _written(count: int, ended: Ended, out: Path, under: float) -> Row:
    taken = float(ended.stdout)
    page = (out / "index.html").stat().st_size
    beside = sum(item.stat().st_size for item in (out / "data").glob("*.js"))
    one_file = not beside
    return Row(
        what=f"all reports of {count:,} cases, a fifth of them failed",
        figure=f"{seconds(taken)}, {ended.peak_bytes / _MIB:.0f} MiB; index.html {page / 1e6:.1f} MB"
        + ("" if one_file else f", beside it {beside / 1e6:.1f} MB"),
        figures={"seconds": taken, "peak_bytes": ended.peak_bytes, "page_bytes": page, "beside_bytes": beside},
        reach=f"under {seconds(under)}, " + ("at most 3 MB" if one_file else "under 1 GB"),
        reached=taken < under and (page <= 3e6 if one_file else ended.peak_bytes < 1e9),  # noqa: PLR2004 - the reach
        how="`write_reports` in a new process, without its start",
    )


def _opened(count: int, out: Path, under: float) -> Iterator[Row]:
    opened, filtered = _in_browser((out / "index.html").as_uri())
    yield Row(
        what=f"{count:,} cases, from navigation to a table that answers",
        figure=seconds(opened),
        figures={"seconds": opened},
        reach=f"under {seconds(under)}",
        reached=opened < under,
        how="headless Chromium, from a file; the least of 3",
    )
    yield Row(
        what=f"{count:,} cases, from a filter's change to the frame that shows it",
        figure=seconds(filtered),
        figures={"seconds": filtered},
        reach="under 200 ms",
        reached=filtered < 0.2,  # noqa: PLR2004 - the reach
        how="the slowest of 5 changes of the search",
    )


def _in_browser(url: str) -> tuple[float, float]:
    """Seconds until the page answers, the least of three, and the slowest answer to a filter."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS.split())
        times = []
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(url)
            page.wait_for_function("document.documentElement.classList.contains('ready')", timeout=60_000)
            times.append(float(page.evaluate("performance.now()")) / 1000)
            slowest = float(page.evaluate(_FILTER))
            page.close()
        browser.close()
    return min(times), slowest


_KEEP: Final = """
import pathlib, sys
from benchmarks.pages import keep
keep(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
"""
_WRITE: Final = """
import pathlib, sys, time
from qatrix.report.writing import write_reports
began = time.perf_counter()
write_reports(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
print(time.perf_counter() - began)
"""


def keep(path: Path, count: int) -> None:
    """Keep that many records of two pipelines in a new store, as a run does, every fifth of a case that failed."""
    from benchmarks.cases import NOWHERE
    from qatrix.cli.repros import keep_scripts
    from qatrix.declare.excerpts import excerpts
    from qatrix.declare.load import load
    from qatrix.outcomes import Comparison, ErrorReport, PipelineOutcome, Record, Run, StageTime
    from qatrix.report.frames import read_store
    from qatrix.report.store import Store

    (case,) = shipped(CONV_BN)
    stages = tuple(StageTime(name=name, seconds=0.03) for name in ("build", "capture", "prepare", "convert"))
    error = ErrorReport(type="ValueError", message="no such module", traceback="  File fx.py, line 1\n" * 40)

    def made(number: int) -> Record:
        failed = number % 5 == 0
        pt2e = PipelineOutcome(pipeline="pt2e", status="ok", sqnr_db=20.0 + number % 31, stages=stages)
        fx = replace(pt2e, pipeline="fx", sqnr_db=20.0 + number % 29)
        stopped = PipelineOutcome(pipeline="fx", status="failed", failed_stage="prepare", error=error)
        points = ("prepare", "convert")
        alike = [
            Comparison(at=at, left="pt2e", right="fx", status="exact", max_abs=0.0, max_steps=0.0, rtol=1e-6, atol=1e-5)
            for at in points
        ]
        sizes = {"channels": number % 64, "kernel": number // 64 % 40, "stride": number // 2560}
        axes = {**case.axes, **sizes}
        name = ",".join(f"{key}={value}" for key, value in axes.items())
        return replace(
            exact(replace(case, case_id=f"{case.suite}/{name}")),
            axes=axes,
            verdict="failed" if failed else "exact",
            unexpected=failed and number % 2 == 0,
            summary="fx failed at prepare" if failed else "exact",
            pipelines={"pt2e": pt2e, "fx": stopped if failed else fx},
            comparisons=() if failed else tuple(alike),
        )

    matrix = load([folder("matrix")]).matrix
    assert matrix is not None
    run = Run(id="bench", started="", seconds=0.0, command=(), environment=NOWHERE, declared=count, finished=True)
    records = [made(number) for number in range(count)]
    with Store.create(path, run) as store:
        store.plan(record.case_id for record in records)
        store.finish_all(records)
        store.keep_excerpts(excerpts(matrix))
        store.end(run)
    keep_scripts(path, read_store(path), [replace(case, case_id=record.case_id) for record in records])
