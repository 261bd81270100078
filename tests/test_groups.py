"""Tests that share what is costly run in one process: those of a group, and those of a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULE = """
import os
import pytest

@pytest.mark.parametrize("number", range(20))
def test_it(number):
    with open(os.environ["SEEN"], "a") as file:
        file.write(f"{__name__} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
GROUPED = MODULE.replace("@pytest", '@pytest.mark.xdist_group("together")\n@pytest', 1)


@pytest.mark.processes
def test_a_group_and_a_file_have_one_process_each(tmp_path: Path) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (tmp_path / "reports").mkdir()
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text(encoding="utf-8"))
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in {"test_a": MODULE, "test_b": MODULE, "test_c": GROUPED, "test_d": GROUPED}.items():
        (folder / f"{name}.py").write_text(text)
    path = os.pathsep.join([str(TESTS), str(TESTS.parent / "runner")])
    options = "-q -n 2 --dist loadgroup -p no:qatrix -p no:slipcover"
    command = [sys.executable, "-m", "pytest", *options.split()]
    environment = {**os.environ, "PYTHONPATH": path, "SEEN": str(tmp_path / "seen")}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert "80 passed" in done.stdout, f"{done.stdout}{done.stderr}"
    seen = {tuple(line.split()) for line in (tmp_path / "seen").read_text().splitlines()}

    assert sorted(module for module, _ in seen) == ["test_a", "test_b", "test_c", "test_d"]
    assert len({worker for module, worker in seen if module in {"test_c", "test_d"}}) == 1
