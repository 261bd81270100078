"""SIGTERM and SIGHUP at any moment of a run: what is done is kept and reported, and nothing is left behind."""

from __future__ import annotations

import os
import pty
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qatrix.cli.interruption import Interruption
from qatrix.report.writing import RENDERERS
from support.driven import MATRIX as TEMPLATE
from support.driven import driven, listing, until, without_what_tells_runs_apart
from support.driver import DONE_IN_THE_MIDDLE
from support.results import results

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]

CASES = 16
ARGV = ("run", "--quiet", "--workers", "2", "--out", "out")
STOPPING = [signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """Shells have SIGINT ignored in what they run in the background, these tests among it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(TEMPLATE.format(sizes=list(range(1, CASES + 1))))
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run finds that nobody interrupts."""
    made = tmp_path_factory.mktemp("whole")
    (made / "matrix").mkdir()
    (made / "matrix/kills.yaml").write_text(TEMPLATE.format(sizes=list(range(1, CASES + 1))))
    with driven(made, *ARGV, afresh=True) as run:
        assert run.end().code == 0
    return without_what_tells_runs_apart(made / "out/latest")


def leaves_nothing(folder: Path) -> bool:
    return listing(folder / "tmp") == [] and not list((folder / "out").glob("*/.*"))


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize("moment", ["load", "environment"])
def test_a_run_that_is_stopped_before_there_is_one_leaves_no_trace(
    folder: Path, number: signal.Signals, moment: str
) -> None:
    with driven(folder, *ARGV, pause_at=moment) as run:
        run.send(number)
        ended = run.end()

    assert (ended.code, ended.out) == (130, "")
    assert ended.err.strip() == "interrupted"
    assert not (folder / "out").exists()
    assert listing(folder / "tmp") == []


@pytest.mark.parametrize("number", STOPPING)
@pytest.mark.parametrize(("moment", "done"), [("first", 0), ("middle", DONE_IN_THE_MIDDLE), ("reports", CASES)])
def test_a_run_that_is_stopped_reports_what_is_done_and_can_be_resumed(
    folder: Path, whole: dict[str, object], number: signal.Signals, moment: str, done: int
) -> None:
    with driven(folder, *ARGV, pause_at=moment) as run:
        run.send(number)
        if moment == "reports":
            run.go()
        ended = run.end()
    latest = folder / "out/latest"

    assert ended.code == 130, ended
    assert f"interrupted: {done} of {CASES} cases are done and kept\n" in ended.out
    assert f"continue with: qatrix {' '.join(ARGV)} --resume\n" in ended.out
    assert "Traceback" not in ended.err
    assert RENDERERS.keys() <= set(listing(latest))
    assert len(results(latest)["cases"]) == done
    assert leaves_nothing(folder)

    with driven(folder, *ARGV, "--resume") as resumed:
        assert resumed.end().code == 0
    assert without_what_tells_runs_apart(latest) == whole
    assert leaves_nothing(folder)


def test_further_signals_do_not_keep_a_run_from_its_report(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="reports") as run:
        run.send(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM)
        run.go()
        ended = run.end()

    assert ended.code == 130
    assert RENDERERS.keys() <= set(listing(folder / "out/latest"))
    assert leaves_nothing(folder)


def test_a_second_ctrl_c_of_someone_who_waited_ends_at_once_and_leaves_no_half_file(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="reports") as run:
        run.send(signal.SIGINT)
        time.sleep(1.1)
        run.send(signal.SIGINT)
        ended = run.end()

    assert ended.code == 130
    assert ended.err.strip() == "interrupted"
    assert not RENDERERS.keys() & set(listing(folder / "out/latest"))
    assert leaves_nothing(folder)


@pytest.mark.parametrize("number", [*STOPPING, signal.SIGINT])
def test_a_signal_to_all_processes_blames_no_case(
    folder: Path, whole: dict[str, object], number: signal.Signals
) -> None:
    with driven(folder, *ARGV, pause_at="middle") as run:
        run.send(number, group=True)
        ended = run.end()
    latest = folder / "out/latest"

    assert ended.code == 130
    assert "Traceback" not in ended.err
    assert {case["verdict"] for case in results(latest)["cases"]} == {"close"}
    with driven(folder, *ARGV, "--resume") as resumed:
        assert resumed.end().code == 0
    assert without_what_tells_runs_apart(latest) == whole


@pytest.mark.parametrize("number", STOPPING)
def test_workers_that_die_just_before_the_driver_is_told_are_not_blamed(folder: Path, number: signal.Signals) -> None:
    (folder / "matrix/kills.yaml").write_text(TEMPLATE.replace("linear", "hang").format(sizes=[1, 2]))
    with driven(folder, *ARGV) as run:
        # The process that counts semaphores, the one that forks, and two workers.
        until(lambda: len(run.members()) >= 4)
        for pid in run.members():
            os.kill(pid, number)
        run.send(number)
        ended = run.end()

    assert ended.code == 130
    assert "declared 2 = 2 not run\n" in ended.out
    assert leaves_nothing(folder)


def test_a_run_under_nohup_outlives_its_terminal(folder: Path) -> None:
    with driven(folder, *ARGV, pause_at="middle", ignored=[signal.SIGHUP]) as run:
        run.send(signal.SIGHUP)
        run.go()

        assert run.end().code == 0


def test_a_terminal_that_is_closed_costs_no_report(folder: Path) -> None:
    ours, terminal = pty.openpty()
    with driven(folder, *ARGV[:1], *ARGV[2:], pause_at="middle", terminal=terminal) as run:
        os.close(terminal)
        os.close(ours)
        run.send(signal.SIGHUP)

        assert run.end().code == 130
    assert RENDERERS.keys() <= set(listing(folder / "out/latest"))
    assert leaves_nothing(folder)


@pytest.fixture
def listening() -> Iterator[Interruption]:
    numbers = [signal.SIGINT, *STOPPING]
    before = [signal.getsignal(number) for number in numbers]
    interruption = Interruption()
    interruption.listen()
    yield interruption
    for number, handler in zip(numbers, before):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, *STOPPING])
def test_the_first_signal_raises_and_the_next_ones_are_noted(listening: Interruption, number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    for later in STOPPING:
        signal.raise_signal(later)

    assert listening.asked


def test_a_signal_that_is_held_is_heeded_later(listening: Interruption) -> None:
    listening.hold()
    signal.raise_signal(signal.SIGTERM)

    assert listening.asked
    with pytest.raises(KeyboardInterrupt):
        listening.heed()


def test_the_same_ctrl_c_handed_on_twice_counts_once(listening: Interruption) -> None:
    listening.hold()
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)

    assert listening.asked


def test_nothing_is_heeded_where_nothing_came(listening: Interruption) -> None:
    listening.hold()
    listening.heed()

    assert not listening.asked
