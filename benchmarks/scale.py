"""A thousand cases again, a hundred thousand records, a million cases."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.processes import Ended, python, results
from benchmarks.rows import Row, seconds
from benchmarks.selection import CONV_BN, shipped
from benchmarks.waiting import exact

_MIB: Final = 2**20
# Linear layers quantized after training: the cheapest cases there are, so that the cache is filled soon.
_THOUSAND: Final = """
patterns:
  linear:
    params: {n: 3, bias: true}
    layers: {a: "Linear(n, n, bias=bias)"}
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, n]}}
quantizers:
  int8_ptq:
    mode: ptq
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_per_channel: true}}
    fx: {backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qconfig}
suites:
  thousand: {axes: {pattern: linear, bias: [true, false], n: SIZES, quantizer: int8_ptq}}
"""
_MILLION: Final = """
patterns:
  linear:
    params: {a: 1, b: 1, c: 1, d: 1}
    layers: {layer: "Linear(a + b, c + d)"}
    forward: ["return layer(x)"]
    inputs: {x: {shape: [2, a + b]}}
quantizers:
  int8_ptq: {mode: ptq, pt2e: {quantizer: XNNPACKQuantizer, config: {is_per_channel: true}}}
suites:
  million: {axes: {pattern: linear, a: FORTY, b: FORTY, c: FORTY, d: SIXTEEN, quantizer: int8_ptq}}
"""


def thousand_again() -> Iterator[Row]:
    """A thousand cases that have not changed since the run before."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "matrix").mkdir()
        (folder / "matrix/thousand.yaml").write_text(_THOUSAND.replace("SIZES", str(list(range(1, 501)))))
        first = _thousand(folder)
        again = min((_thousand(folder) for _ in range(3)), key=lambda ended: ended.seconds)
        cases = results(folder / "reports")["cases"]
    reused = sum(case["reused_from"] is not None for case in cases)
    yield Row(
        what="1,000 unchanged cases again, whole process",
        figure=f"{seconds(again.seconds)} ({reused} reused; {seconds(first.seconds)} the first time)",
        figures={"again_seconds": again.seconds, "first_seconds": first.seconds},
        reach="under 3 s",
        reached=reused == len(cases) == 1000 and again.seconds < 3,  # noqa: PLR2004 - the reach
        how="`qatrix run` on 1,000 linear layers quantized after training, with all reports; the least of 3",
    )


def _thousand(folder: Path) -> Ended:
    command = ("run", "--quiet", "--fail-on", "never")
    variables = {"XDG_CACHE_HOME": str(folder / "cache"), "QATRIX_STANDING": "off"}
    return python("-m", "qatrix", *command, cwd=folder, variables=variables)


def million_text() -> str:
    """The YAML of 1,024,000 cases."""
    forty, sixteen = str(list(range(1, 41))), str(list(range(1, 17)))
    return _MILLION.replace("FORTY", forty).replace("SIXTEEN", sixteen)


def million() -> Iterator[Row]:
    """A million cases declared, expanded and counted, none of them kept."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "million.yaml").write_text(million_text())
        ended = python("-c", _COUNT, str(Path(place) / "million.yaml"))
    count = int(ended.stdout)
    yield Row(
        what=f"{count:,} cases expanded and counted",
        figure=f"{seconds(ended.seconds)}, {ended.peak_bytes / _MIB:.0f} MiB",
        figures={"seconds": ended.seconds, "peak_bytes": ended.peak_bytes},
        reach="a million under 15 s, under 300 MB",
        reached=count >= 1e6 and ended.seconds < 15 and ended.peak_bytes < 3e8,  # noqa: PLR2004 - the reach
        how="`load` and `expand` in a new process; peak resident memory of that process",
    )


_COUNT: Final = """
import pathlib, sys
from qatrix.declare.expand import expand
from qatrix.declare.load import load
from qatrix.declare.spec import Case
matrix = load([pathlib.Path(sys.argv[1])]).matrix
print(sum(isinstance(item, Case) for item in expand(matrix)))
"""


def records(*, count: int = 100_000) -> Iterator[Row]:
    """What a hundred thousand records of a pipeline that did nothing cost the store; `large-page` has the reports."""
    with tempfile.TemporaryDirectory() as place:
        store = Path(place) / "run.sqlite"
        kept = float(python("-c", _KEEP, str(store), str(count)).stdout)
    yield Row(
        what=f"a record kept, at {count:,}",
        figure=f"{kept / count * 1e6:.0f} µs each, started and finished, each committed",
        figures={"seconds_per_record": kept / count},
        how="`Store.start` and `Store.finish` of exact records in one process",
    )


_KEEP: Final = """
import pathlib, sys, time
from benchmarks.scale import keep
print(keep(pathlib.Path(sys.argv[1]), int(sys.argv[2])))
"""


def keep(path: Path, count: int) -> float:
    """Keep that many records in a new store; seconds taken. Runs in a process of its own."""
    from benchmarks.cases import NOWHERE
    from qatrix.outcomes import Run
    from qatrix.report.store import Store

    (case,) = shipped(CONV_BN)
    made = [
        replace(exact(replace(case, case_id=f"{case.suite}/n={number}")), axes={**case.axes, "n": number % 100})
        for number in range(count)
    ]
    run = Run(id="bench", started="", seconds=0.0, command=(), environment=NOWHERE, declared=count, finished=True)
    with Store.create(path, run) as store:
        store.plan(record.case_id for record in made)
        began = time.perf_counter()
        for record in made:
            store.start(record.case_id)
            store.finish(record)
        taken = time.perf_counter() - began
        store.end(run)
    return taken
