"""A driver that is killed at any moment loses at most the cases in flight, and leaves no process behind."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from support.driven import MATRIX, driven, until, without_what_tells_runs_apart

CASES = 90
ARGV = ("run", "--quiet", "--workers", "2", "--out")


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_run_killed_at_ten_random_moments_and_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.format(sizes=list(range(1, CASES + 1))))
    began = time.monotonic()
    with driven(tmp_path, *ARGV, "whole") as run:
        assert run.end().code == 0
    took = time.monotonic() - began
    whole = without_what_tells_runs_apart(tmp_path / "whole/latest")
    assert len(whole["cases"]) == CASES
    moments = random.Random(20261124)
    interrupted = 0
    for number in range(10):
        out = f"killed{number}"
        with driven(tmp_path, *ARGV, out) as killed:
            time.sleep(moments.uniform(0.3, 1.0) * took)
            killed.send(signal.SIGKILL)
            # Waits for the workers, too.
            killed.end()
        resume = ["--resume"] if (tmp_path / out / "latest").exists() else []
        # Without it, it was killed before there was anything to resume.
        interrupted += bool(resume) and not (tmp_path / out / "latest/results.json").exists()
        with driven(tmp_path, *ARGV, out, *resume) as resumed:
            assert resumed.end().code == 0
        assert without_what_tells_runs_apart(tmp_path / out / "latest") == whole
    assert interrupted >= 5


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_case_that_hangs_does_not_outlive_a_driver_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.replace("linear", "hang").format(sizes=[1, 2]))
    with driven(tmp_path, *ARGV, "hanging") as killed:
        # Besides the driver: the process that counts semaphores, the one that forks, and two workers.
        until(lambda: len(killed.members()) >= 4)
        killed.send(signal.SIGKILL)
        killed.end()
