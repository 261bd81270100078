"""A driver that is killed at any moment loses at most the cases in flight, and leaves no process behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.results import results

MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(n, n)"}}
    params: {{n: 3}}
    forward: ["return a(x)"]
    inputs: {{x: {{shape: [2, n]}}}}
quantizers:
  int8: {{mode: qat, fx: {{backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}}}
suites:
  kills: {{axes: {{pattern: linear, n: {sizes}, quantizer: int8}}}}
"""
CASES = 90
TESTS = Path(__file__).parents[1]


def driver(folder: Path, *argv: str) -> subprocess.Popen[bytes]:
    """The command line in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent / "runner")])}
    command = [sys.executable, "-m", "support.driver", "run", "--quiet", "--workers", "2", *argv]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def without_what_tells_runs_apart(content: dict[str, Any]) -> dict[str, Any]:
    own = {"id", "started", "seconds", "command"}
    return {**content, "run": {name: value for name, value in content["run"].items() if name not in own}}


def group_is_gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_run_killed_at_ten_random_moments_and_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.format(sizes=list(range(1, CASES + 1))))
    began = time.monotonic()
    assert driver(tmp_path, "--out", "whole").wait() == 0
    took = time.monotonic() - began
    whole = without_what_tells_runs_apart(results(tmp_path / "whole/latest"))
    assert len(whole["cases"]) == CASES
    moments = random.Random(20261124)
    interrupted = 0
    for number in range(10):
        out = f"killed{number}"
        killed = driver(tmp_path, "--out", out)
        time.sleep(moments.uniform(0.3, 1.0) * took)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        if not (tmp_path / out / "latest").exists():
            # Killed before there was anything to resume.
            assert driver(tmp_path, "--out", out).wait() == 0
        else:
            interrupted += not (tmp_path / out / "latest/results.json").exists()
            assert driver(tmp_path, "--out", out, "--resume").wait() == 0
        assert without_what_tells_runs_apart(results(tmp_path / out / "latest")) == whole
        deadline = time.monotonic() + 20
        while not group_is_gone(killed.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert group_is_gone(killed.pid), "a killed driver leaves its workers behind"
    assert interrupted >= 5


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_case_that_hangs_does_not_outlive_a_driver_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.replace("linear", "hang").format(sizes=[1, 2]))
    killed = driver(tmp_path, "--out", "hanging")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(processes_of(killed.pid)) < 4:
        time.sleep(0.1)
    assert len(processes_of(killed.pid)) >= 4, "the driver, the process that forks, and two workers"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    while not group_is_gone(killed.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert group_is_gone(killed.pid)


def processes_of(group: int) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "pgid=,pid="], capture_output=True, text=True, check=True).stdout
    return [pid for pgid, pid in (line.split() for line in listed.splitlines()) if int(pgid) == group]
