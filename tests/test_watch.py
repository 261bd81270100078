"""What real pipelines give under `qatrix watch`, and in a run beside it, is what they give in a run of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.driven import until
from support.results import results

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.xdist_group("workers")]
# All patterns of PT2E are exported first, since the cache folder is empty.
PATIENCE = 600.0
RUNNER = Path(__file__).parents[1] / "runner"
MATRIX = """
patterns:
  conv_relu:
    params: {n: 4}
    layers: {conv: "Conv2d(3, n, 3)", relu: ReLU()}
    forward: ["return relu(conv(x))"]
    inputs: {x: {shape: [1, 3, 8, 8]}}
  own: {model: mine_watched.Net, inputs: {x: {shape: [1, 3]}}}
quantizers:
  ptq:
    mode: ptq
    pt2e: {quantizer: torchao.XNNPACKQuantizer, config: {is_per_channel: true}}
    fx: {backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qconfig}
  qat:
    mode: qat
    pt2e: {quantizer: torchao.XNNPACKQuantizer, config: {is_per_channel: true, is_qat: true}}
    fx: {backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qat_qconfig}
suites:
  edited: {axes: {pattern: conv_relu, n: 4, quantizer: [ptq, qat]}}
  own: {axes: {pattern: own, quantizer: ptq}}
"""
OWN = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)

    def forward(self, x):
        return self.a(x)
"""
ARGV = ("--allow-module", "mine_watched", "--workers", "2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/edited.yaml").write_text(MATRIX)
    (tmp_path / "mine_watched.py").write_text(OWN)
    return tmp_path


@contextlib.contextmanager
def qatrix(folder: Path, verb: str, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(RUNNER), str(folder)])
    variables = {**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "qatrix", verb, *ARGV, *argv]
    with (folder / f"{verb}.txt").open("ab") as printed:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=printed, stderr=printed)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def found(run: Path) -> dict[str, Any]:
    """The cases of a run by their ids, as they are in every run of them; an error has its counters."""
    own = {"seconds": None, "reused_from": None, "diagnosis": None}
    return {
        case["case_id"]: {
            **case,
            **own,
            "error": None,
            "pipelines": {name: {**item, "stages": None, "error": None} for name, item in case["pipelines"].items()},
        }
        for case in results(run)["cases"]
    }


def runs(folder: Path, count: int) -> None:
    until(lambda: (folder / "watch.txt").read_text().count("report: ") >= count, PATIENCE)


def test_an_edit_and_a_run_beside_it_give_the_numbers_that_a_run_of_its_own_gives(folder: Path) -> None:
    with qatrix(folder, "watch", "--case", "edited/*") as watch:
        runs(folder, 1)
        before = found(folder / "reports/latest")
        (folder / "matrix/edited.yaml").write_text(MATRIX.replace("n: 4, quantizer", "n: 5, quantizer"))
        runs(folder, 2)
        after = found(folder / "reports/latest")
        with qatrix(folder, "run", "--case", "edited/*", "--fresh", "--out", "beside") as run:
            lock = folder / "beside/latest/.lock"
            until(lambda: lock.exists() or run.poll() is not None)
            # The process that the watch has forked for it.
            assert f"process {run.pid} " not in lock.read_text()
            assert run.wait(timeout=PATIENCE) == 0
        assert watch.poll() is None
    with qatrix(folder, "run", "--case", "edited/*", "--fresh", "--out", "alone") as run:
        assert run.wait(timeout=600) == 0

    assert after == found(folder / "alone/latest")
    assert found(folder / "beside/latest") == found(folder / "alone/latest")
    assert before.keys() != after.keys()
    assert {case["verdict"] for case in after.values()} <= {"exact", "close"}


def test_an_edited_module_of_ones_own_is_what_the_next_run_runs(folder: Path) -> None:
    with qatrix(folder, "watch", "--case", "own/*"):
        runs(folder, 1)
        assert [case["verdict"] for case in found(folder / "reports/latest").values()] == ["exact"]
        (folder / "mine_watched.py").write_text(OWN.replace("return self.a(x)", "raise ValueError('edited')"))
        runs(folder, 2)

        (case,) = results(folder / "reports/latest")["cases"]
    assert case["verdict"] == "invalid"
    assert "edited" in case["summary"]
    assert "] mine_watched.py\n" in (folder / "watch.txt").read_text()
