"""What real pipelines give under `qatrix watch`, and in a run beside it, is what they give in a run of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qatrix.resources import cache_folder
from support.driven import until
from support.results import results

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.xdist_group("workers")]
# All patterns of PT2E may be exported first, where the cache folder is empty.
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


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A watch that goes on in a folder, for all tests: it starts with an import of torch."""

    folder: Path
    process: subprocess.Popen[bytes]

    def runs(self) -> int:
        """How many runs have told what they found."""
        return self.printed().count("report: ")

    @contextlib.contextmanager
    def ended_run(self) -> Iterator[None]:
        """Wait for one run more than there were before."""
        before = self.runs()
        yield
        until(lambda: self.runs() > before, PATIENCE)

    def printed(self) -> str:
        return (self.folder / "watch.txt").read_text()

    def found(self, suite: str) -> dict[str, Any]:
        """What the newest run has found of a suite."""
        return found(self.folder / "reports/latest", suite)


@pytest.fixture(scope="module", name="watch")
def _watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    folder = tmp_path_factory.mktemp("watched")
    (folder / "matrix").mkdir()
    (folder / "matrix/edited.yaml").write_text(MATRIX)
    (folder / "mine_watched.py").write_text(OWN)
    # What PT2E exports for QAT whatever the case, for 20 seconds, is there once any test has needed it.
    (folder / "cache/qatrix").mkdir(parents=True)
    patterns = cache_folder() / "patterns"
    patterns.mkdir(parents=True, exist_ok=True)
    (folder / "cache/qatrix/patterns").symlink_to(patterns)
    with qatrix(folder, "watch") as process:
        started = Watch(folder=folder, process=process)
        until(lambda: started.runs() == 1, PATIENCE)
        yield started


@contextlib.contextmanager
def qatrix(folder: Path, verb: str, *argv: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(RUNNER), str(folder)])
    # The watch's is that of its runs, but for what a test sets: one that differs takes no run.
    same = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "QATRIX"))}
    environment = {**same, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache"), **variables}
    command = [sys.executable, "-m", "qatrix", verb, *ARGV, *argv]
    with (folder / f"{verb}.txt").open("ab") as printed:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=printed)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def found(run: Path, suite: str) -> dict[str, Any]:
    """The cases of a run and a suite by their ids, as they are in every run of them; an error has its counters."""
    own = {"seconds": None, "reused_from": None, "diagnosis": None}
    return {
        case["case_id"]: {
            **case,
            **own,
            "error": None,
            "pipelines": {name: {**item, "stages": None, "error": None} for name, item in case["pipelines"].items()},
        }
        for case in results(run)["cases"]
        if case["suite"] == suite
    }


def test_an_edit_and_a_run_beside_it_give_the_numbers_that_a_run_of_its_own_gives(watch: Watch) -> None:
    folder = watch.folder
    before = watch.found("edited")
    with watch.ended_run():
        (folder / "matrix/edited.yaml").write_text(MATRIX.replace("n: 4, quantizer", "n: 5, quantizer"))
    after = watch.found("edited")
    with qatrix(folder, "run", "--case", "edited/*", "--fresh", "--out", "beside") as run:
        lock = folder / "beside/latest/.lock"
        until(lambda: lock.exists() or run.poll() is not None)
        # The process that the watch has forked for it.
        assert f"process {run.pid} " not in lock.read_text()
        assert run.wait(timeout=PATIENCE) == 0
    assert watch.process.poll() is None
    with qatrix(folder, "run", "--case", "edited/*", "--fresh", "--out", "alone", QATRIX_WARM="off") as run:
        lock = folder / "alone/latest/.lock"
        until(lambda: lock.exists() or run.poll() is not None)
        assert f"process {run.pid} " in lock.read_text()
        assert run.wait(timeout=PATIENCE) == 0

    assert after == found(folder / "alone/latest", "edited")
    assert found(folder / "beside/latest", "edited") == found(folder / "alone/latest", "edited")
    assert before.keys() != after.keys()
    assert {case["verdict"] for case in after.values()} <= {"exact", "close"}


def test_an_edited_module_of_ones_own_is_what_the_next_run_runs(watch: Watch) -> None:
    assert [case["verdict"] for case in watch.found("own").values()] == ["exact"]
    with watch.ended_run():
        (watch.folder / "mine_watched.py").write_text(OWN.replace("return self.a(x)", "raise ValueError('edited')"))

    (case,) = watch.found("own").values()
    assert case["verdict"] == "invalid"
    assert "edited" in case["summary"]
    assert "] mine_watched.py\n" in watch.printed()
