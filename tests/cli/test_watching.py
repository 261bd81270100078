"""`qatrix watch`, as a program: what an edit runs, and what is left at its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from support.driven import MATRIX, Driven, driven, listing, until
from support.results import results

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("workers")]
OUT = "reports"


def hanging(sizes: list[int]) -> str:
    """A matrix of which one case never ends."""
    text = MATRIX.format(sizes=sizes)
    hang = '  hang: {layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"], inputs: {x: {shape: [2, 3]}}}\n'
    return text.replace("quantizers:", f"{hang}quantizers:", 1) + "  hangs: {axes: {pattern: hang, quantizer: int8}}\n"


class Watch:
    """A watch that goes on, in a folder with a matrix."""

    def __init__(self, driver: Driven, folder: Path) -> None:
        self.driver = driver
        self.folder = folder
        self.printed = folder / "printed"

    def write(self, text: str, name: str = "kills.yaml") -> None:
        """Put a file of the matrix in place as a whole, as editors do."""
        partial = self.folder / ".partial"
        partial.write_text(text)
        partial.replace(self.folder / "matrix" / name)

    def ended_runs(self, count: int) -> dict[str, Any]:
        """What the newest run has found, once so many of them have told what they found."""
        until(lambda: self.text().count("report: ") >= count)
        return results(self.folder / OUT / "latest")

    def text(self) -> str:
        return self.printed.read_text()


@contextmanager
def watching(folder: Path, text: str, *argv: str) -> Iterator[Watch]:
    """A watch with pipelines that only wait, which keeps results for later runs."""
    (folder / "matrix").mkdir()
    (folder / "matrix/kills.yaml").write_text(text)
    variables = {"KEPT_RESULTS": str(folder / "kept"), "XDG_CACHE_HOME": str(folder / "cache")}
    with pytest.MonkeyPatch.context() as patch, (folder / "printed").open("w") as printed:
        for name, value in variables.items():
            patch.setenv(name, value)
        with driven(folder, "watch", "--out", OUT, "--workers", "2", *argv, terminal=printed.fileno()) as driver:
            yield Watch(driver, folder)


def ran(found: dict[str, Any]) -> list[str]:
    """The sizes of the cases that the newest run has executed."""
    return [re.findall(r"n=(\d+)", case["case_id"])[0] for case in found["cases"] if case["reused_from"] is None]


def test_an_edit_runs_exactly_the_cases_that_it_touches(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1, 2, 3])) as watch:
        assert sorted(ran(watch.ended_runs(1))) == ["1", "2", "3"]
        watch.write(MATRIX.format(sizes=[1, 2, 3, 4]))
        found = watch.ended_runs(2)

        assert ran(found) == ["4"]
        assert [case["verdict"] for case in found["cases"]] == ["close"] * 4
        assert "new, close: kills/linear/n=4,quantizer=int8,device=cpu\n" in watch.text()
        assert "1 case ran, 3 not again: 1 new; nothing unexpected\n" in watch.text()
        assert "] matrix/kills.yaml\n" in watch.text()


def test_a_broken_declaration_is_told_with_its_place_and_the_watch_goes_on(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1])) as watch:
        watch.ended_runs(1)
        watch.write(MATRIX.format(sizes=[1]).replace("Linear(n, n)", "Linaer(n, n)"))
        until(lambda: "1 error" in watch.text())
        watch.write(MATRIX.format(sizes=[2]))

        assert ran(watch.ended_runs(2)) == ["2"]
        assert "matrix/kills.yaml:4:18: error: " in watch.text()
        assert "Linaer" in watch.text()


def test_a_deleted_suite_is_told(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1])) as watch:
        watch.write("suites: {other: {axes: {pattern: linear, n: [7, 8], quantizer: int8}}}\n", "other.yaml")
        until(lambda: "declared 3 = " in watch.text() or "2 new" in watch.text())
        (tmp_path / "matrix/other.yaml").unlink()
        until(lambda: "2 gone" in watch.text())

        assert "gone: other/linear/n=7,quantizer=int8,device=cpu\n" in watch.text()


def test_an_edit_gives_up_the_run_that_goes_on_and_leaves_nothing_of_it(tmp_path: Path) -> None:
    with watching(tmp_path, hanging([1, 2])) as watch:
        until(lambda: "n=1" in watch.text() and "n=2" in watch.text())
        watch.write(MATRIX.format(sizes=[1, 2, 3]))
        found = watch.ended_runs(1)

        # What ended before is not run again.
        assert ran(found) == ["3"]
        assert [path.name for path in (tmp_path / OUT).iterdir() if not path.is_symlink()] == [found["run"]["id"]]


def test_where_a_run_was_given_up_latest_is_the_one_before_it(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1])) as watch:
        run = watch.ended_runs(1)["run"]["id"]
        watch.write(hanging([1]))
        until(lambda: (tmp_path / OUT / "latest").readlink().name != run)
        watch.write("broken: [")
        until(lambda: "1 error" in watch.text())

        assert results(tmp_path / OUT / "latest")["run"]["id"] == run


def test_a_case_that_hangs_is_ended_by_its_limit(tmp_path: Path) -> None:
    with watching(tmp_path, hanging([1]), "--timeout", "0.5") as watch:
        assert sorted(case["verdict"] for case in watch.ended_runs(1)["cases"]) == ["close", "timed_out"]
        watch.write(MATRIX.format(sizes=[1]))

        assert [case["verdict"] for case in watch.ended_runs(2)["cases"]] == ["close"]


def test_only_the_newest_run_of_a_watch_is_kept_and_all_others_are(tmp_path: Path) -> None:
    (tmp_path / OUT / "20250101-000000").mkdir(parents=True)
    with watching(tmp_path, MATRIX.format(sizes=[1])) as watch:
        for size in (2, 3):
            watch.ended_runs(size - 1)
            watch.write(MATRIX.format(sizes=[size]))
        newest = watch.ended_runs(3)["run"]["id"]
        until(lambda: len(folders(tmp_path)) == 2)

        assert folders(tmp_path) == ["20250101-000000", newest]


def folders(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / OUT).iterdir() if not path.is_symlink())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda item: item.name)
def test_a_signal_to_all_its_processes_ends_it_with_all_of_them(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path, hanging([1])) as watch:
        until(lambda: "n=1" in watch.text())
        watch.driver.send(number, group=True)

        assert watch.driver.end().code == 130
        assert "Traceback" not in watch.text()
        assert "leaked" not in watch.text()
        assert listing(tmp_path / "tmp") == []
        assert [name for name in listing(tmp_path / "cache") if name.startswith("qatrix/watch/")] == []


def test_its_processes_end_with_it_where_it_is_killed(tmp_path: Path) -> None:
    with watching(tmp_path, hanging([1])) as watch:
        until(lambda: "n=1" in watch.text())
        watch.driver.send(signal.SIGKILL)

        # Waits for all of them.
        watch.driver.end()


def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/kills.yaml").write_text(MATRIX.format(sizes=[1]))
    ours, its = os.openpty()
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    code = "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from support.driver import drive; drive(['watch'])"
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    seen = b""
    with suppress(OSError):
        while b"report: " not in seen:
            seen += os.read(ours, 1000)
    os.close(ours)

    assert process.wait(timeout=60) == 130


def test_a_module_that_is_not_there_is_no_reason_to_end(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1]), "--allow-module", "not_here.at_all") as watch:
        assert ran(watch.ended_runs(1)) == ["1"]


def test_the_page_asks_for_the_run_after_it_and_the_file_beside_it_has_the_name_of_the_run(tmp_path: Path) -> None:
    with watching(tmp_path, MATRIX.format(sizes=[1])) as watch:
        run = watch.ended_runs(1)["run"]["id"]
        folder = tmp_path / OUT / "latest"

        assert (folder / "version.js").read_text() == f'qatrixVersion("{run}");\n'
        assert "version.js" in (folder / "index.html").read_text()
