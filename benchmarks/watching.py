"""From an edited line of YAML to its verdict: a watch that goes on, against a run that is started for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, ratio

_EDITS: Final = 3
_REACH_SECONDS: Final = 1.5
# One case that is calibrated, by a pipeline each.
_MATRIX: Final = """
patterns:
  conv_relu:
    params: {{n: 4}}
    layers: {{conv: "Conv2d(3, n, 3)", relu: ReLU()}}
    forward: ["return relu(conv(x))"]
    inputs: {{x: {{shape: [1, 3, 8, 8]}}}}
quantizers:
  int8_ptq:
    mode: ptq
    pt2e: {{quantizer: torchao.XNNPACKQuantizer, config: {{is_per_channel: true}}}}
    fx: {{backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qconfig}}
suites:
  edited: {{axes: {{pattern: conv_relu, n: {n}, quantizer: int8_ptq}}}}
"""


def edits() -> Iterator[Row]:
    """An edit's way to its verdict, under `qatrix watch` and by `qatrix run`; and a run beside a watch."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "matrix").mkdir()
        sizes = iter(range(4, 100))
        with _started(folder, "watch", size=next(sizes)) as watch:
            _verdict_of(watch)
            watched = min(_edited(folder, next(sizes), watch) for _ in range(_EDITS))
            # The run that the edit starts writes its reports still.
            time.sleep(3 * _REACH_SECONDS)
            beside = min(_whole(folder) for _ in range(_EDITS))
        alone = min(_whole(folder) for _ in range(_EDITS))
        begun = []
        for _ in range(_EDITS):
            before = time.perf_counter()
            with _started(folder, "run", size=next(sizes)) as run:
                begun.append(_verdict_of(run) - before)
                run.wait()
    yield Row(
        what="from an edited line to its verdict, `qatrix run` against `qatrix watch`",
        figure=f"{ratio(min(begun), watched)}, {watched:.2f} s",
        figures={"run_seconds": min(begun), "watch_seconds": watched},
        reach=f"at most {_REACH_SECONDS} s",
        reached=watched <= _REACH_SECONDS,
        how=f"one PTQ case; from the write of the file, or the start of the process, to the line with the verdict; the"
        f" least of {_EDITS} each",
    )
    yield Row(
        what="`qatrix run` of one case, alone against beside a `qatrix watch`",
        figure=f"{ratio(alone, beside)}, {beside:.2f} s",
        figures={"alone_seconds": alone, "beside_seconds": beside},
        reach=f"at most {_REACH_SECONDS} s",
        reached=beside <= _REACH_SECONDS,
        how=f"the same case, `--fresh`; whole processes with their reports; the least of {_EDITS} each",
    )


def _whole(folder: Path) -> float:
    """The seconds that a run of the matrix takes, from the start of its process to its end."""
    command = [sys.executable, "-m", "qatrix", "run", "--fresh", "--quiet"]
    before = time.perf_counter()
    subprocess.run(command, cwd=folder, env=_environment(folder), stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - before


@contextmanager
def _started(folder: Path, verb: str, *, size: int) -> Iterator[subprocess.Popen[str]]:
    """A command in a folder with a matrix of this size, which is gone at the end."""
    _write(folder, size)
    command = [sys.executable, "-m", "qatrix", verb]
    with subprocess.Popen(command, cwd=folder, env=_environment(folder), stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONPATH": os.pathsep.join(sys.path)}


def _edited(folder: Path, size: int, watch: subprocess.Popen[str]) -> float:
    # The run before writes its reports still.
    time.sleep(3 * _REACH_SECONDS)
    before = time.perf_counter()
    _write(folder, size)
    return _verdict_of(watch) - before


def _write(folder: Path, size: int) -> None:
    (folder / "matrix/edited.yaml").write_text(_MATRIX.format(n=size), encoding="utf-8")


def _verdict_of(process: subprocess.Popen[str]) -> float:
    """When the next case had its line. Raises RuntimeError where the process ends before."""
    for line in process.stderr or ():
        if line.startswith("[1/1] "):
            return time.perf_counter()
    msg = "qatrix ended without a verdict"
    raise RuntimeError(msg)
