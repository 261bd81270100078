"""A driver that is killed at any moment loses at most the cases in flight, and leaves no process behind."""

from __future__ import annotations

import contextlib
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from support.driven import MATRIX, driven, until, without_what_tells_runs_apart

CASES = 90
ARGV = ("run", "--quiet", "--workers", "2", "--out")


def ended_cases(out: Path) -> int:
    """How many cases of the newest run have ended; -1 before there is a run."""
    store = out / "latest/run.sqlite"
    if not store.exists():
        return -1
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        try:
            (count,) = connection.execute("SELECT count(*) FROM cases WHERE state = 'finished'").fetchone()
        except sqlite3.OperationalError:  # it is being made
            return -1
    return int(count)


@pytest.mark.slow
@pytest.mark.xdist_group("workers")
def test_a_run_killed_at_ten_random_moments_and_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.format(sizes=list(range(1, CASES + 1))))
    with driven(tmp_path, *ARGV, "whole", afresh=True) as run:
        assert run.end().code == 0
    whole = without_what_tells_runs_apart(tmp_path / "whole/latest")
    assert len(whole["cases"]) == CASES
    moments = random.Random(20261124)
    interrupted = 0
    for number in range(10):
        out = f"killed{number}"
        with driven(tmp_path, *ARGV, out) as killed:
            # By what is done and not by a clock, so that a slow machine is killed at the same moments.
            done = moments.randrange(CASES)
            until(lambda out=out, done=done: ended_cases(tmp_path / out) >= done)  # type: ignore[misc]
            time.sleep(moments.uniform(0, 0.05))
            killed.send(signal.SIGKILL)
            # Waits for the workers, too.
            killed.end()
        resume = ["--resume"] if (tmp_path / out / "latest").exists() else []
        # Without it, it was killed before there was anything to resume.
        interrupted += bool(resume) and not (tmp_path / out / "latest/results.json").exists()
        with driven(tmp_path, *ARGV, out, *resume) as resumed:
            assert resumed.end().code == 0
        assert without_what_tells_runs_apart(tmp_path / out / "latest") == whole
    assert interrupted >= 8


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
