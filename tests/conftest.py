"""Fixtures for all tests, and guards against tests that change the world around them."""

from __future__ import annotations

import gc
import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings

from support import quick
from support.project import MATRIX, Project, ScriptsHere

# How long an example takes depends on what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
REPORTS = Path(__file__).parents[1] / "reports"
# What a test with a marker takes, roughly: only the order of groups hangs on it.
SECONDS: Final = {"slow": 3.0, "processes": 1.5, "browser": 1.0, "torch": 0.5}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--results", metavar="RUN", help="The folder of a run, or its run.sqlite, whose diagnoses are read critically."
    )
    parser.addoption("--quick", action="store_true", help="Run the tests that need neither torch nor a browser.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        quick.install(config)
    # Under nohup or in the background some are ignored, and programs that tests start and stop would ignore them, too:
    # what is ignored is inherited, and what is handled is not.
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for each core, and one more where tests wait for programs, for the disk and for a browser.

    Each takes 1.2 GB once torch is in it; more than eight wait for the longest file.
    """
    if told := os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return int(told)
    cores = os.cpu_count() or 1
    return min(cores if config.getoption("--quick") else cores + 1, 8)


# Before pytest-xdist reads the groups.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run the tests of a file, which share what is costly, the longest files first."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    _put_the_longest_first(items)


def _put_the_longest_first(items: list[pytest.Item]) -> None:
    """Sort groups by what their tests' markers let expect, so that no process begins a long one when the others end."""
    expected: defaultdict[str, float] = defaultdict(float)
    # As pytest-xdist joins them.
    groups = {item: "_".join(sorted({mark.args[0] for mark in item.iter_markers("xdist_group")})) for item in items}
    for item, group in groups.items():
        expected[group] += sum(SECONDS[name] for name in SECONDS if item.get_closest_marker(name))
    items.sort(key=lambda item: (-expected[groups[item]], groups[item]))


def pytest_collection_finish() -> None:
    """Spare the collector what lives until the end: a million objects of modules and tests, 9 % of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_sessionfinish() -> None:
    """Thaw them: extensions report as leaked what is never collected."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _unchanged_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No colour; and no test may leave another environment, another folder or a run in reports/ behind."""
    monkeypatch.setenv("NO_COLOR", "1")
    # The kept matrices are the user's, twenty in all.
    monkeypatch.setenv("QATRIX_MATRIX_CACHE", "off")
    environment, folder, runs = dict(os.environ), Path.cwd(), set(REPORTS.iterdir())
    yield
    monkeypatch.undo()
    ours = {"PYTEST_CURRENT_TEST", "NO_COLOR", "QATRIX_MATRIX_CACHE"}
    before = {key: value for key, value in environment.items() if key not in ours}
    after = {key: value for key, value in os.environ.items() if key not in ours}
    # torch's exporter and its imports set variables of their own.
    changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    assert not {key for key in changed if not key.startswith(("TORCH", "KMP", "OMP", "PYTORCH", "TRITON", "KINETO"))}
    assert Path.cwd() == folder
    assert set(REPORTS.iterdir()) == runs


@pytest.fixture
def project(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Project:
    """An empty folder with a small matrix/ in it, which is the current folder."""
    if not request.node.get_closest_marker("scripts_apart"):
        request.getfixturevalue("scripts_made_here")
    monkeypatch.chdir(tmp_path)
    made = Project(path=tmp_path, capture=capsys)
    made.write({"matrix/small.yaml": MATRIX})
    return made


@pytest.fixture
def scripts_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scripts are made in this process: starting another one takes longer than all else that a command does."""
    monkeypatch.setattr("qatrix.cli.scripting.Bounded", ScriptsHere)


@pytest.fixture
def each_run_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run in which nothing changed writes reports of its own, for tests that are about what these say."""
    monkeypatch.setenv("QATRIX_STANDING", "off")


@pytest.fixture(scope="module")
def as_in_a_worker() -> Iterator[None]:
    """Cases run as a worker runs them: one thread, and what torch makes anew for every case is remembered.

    Threads that wait for each other take a fifth of the processor time of cases as small as those of tests.
    """
    import torch

    from qatrix.execute.options import Execution
    from qatrix.execute.workers import torch_ready

    threads = torch.get_num_threads()
    with torch_ready(Execution()):
        yield
    torch.set_num_threads(threads)
