"""Whole processes, and the records that they leave."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.processes import python, without_times


def test_a_process_tells_its_time_memory_and_output() -> None:
    ended = python("-c", "import time; print(len(bytes(b'x') * 50_000_000)); held = b'x' * 50_000_000; time.sleep(0.2)")

    assert ended.stdout == "50000000\n"
    assert ended.seconds > 0.2
    assert 50e6 < ended.peak_bytes < 500e6


def test_a_process_that_fails_says_what_it_printed() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3: last words"):
        python("-c", "print('last words'); raise SystemExit(3)")


def test_a_process_elsewhere_imports_what_this_one_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", "runner")

    ended = python("-c", "import qatrix; print(qatrix.__file__)", cwd=tmp_path)

    assert ended.stdout.strip() == str(Path("runner/qatrix/__init__.py").resolve())


def test_records_are_compared_without_times_and_tracebacks() -> None:
    case = {"seconds": 1.0, "diagnosis": {"seconds": 1}, "pipelines": {"fx": {"stages": [1], "error": None, "x": 2}}}

    assert without_times([case]) == [
        {"seconds": None, "diagnosis": None, "pipelines": {"fx": {"stages": None, "error": None, "x": 2}}}
    ]
