"""The hook for pre-commit: when it runs, and that its command finds what it says."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.project import MATRIX

ROOT = Path(__file__).parents[1]
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
(HOOK,) = HOOKS


def run_hook(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the hook's command as pre-commit does: in the folder of the repository, without file names."""
    assert HOOK["language"] == "system"
    assert HOOK["pass_filenames"] is False
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        shlex.split(HOOK["entry"]), cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "matrix").mkdir()
    (tmp_path / "matrix/small.yaml").write_text(MATRIX, encoding="utf-8")
    return tmp_path


@pytest.mark.processes
def test_a_matrix_without_a_fault_passes(repository: Path) -> None:
    done = run_hook(repository)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "matrix: no problems, 4 cases\n"


@pytest.mark.processes
def test_faults_fail_with_file_line_and_column(repository: Path) -> None:
    faulty = MATRIX.replace("pattern: linear, bias", "pattern: liner, bias")
    (repository / "matrix/small.yaml").write_text(faulty, encoding="utf-8")
    done = run_hook(repository)

    assert done.returncode == 2
    assert re.search(r"^matrix/small\.yaml:12:\d+: error: unknown pattern 'liner'$", done.stderr, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("matrix/small.yaml", True),
        ("matrix/suites/conv.yml", True),
        ("docs/matrix/small.yaml", False),
        ("matrix/data.pt", False),
    ],
)
def test_it_runs_where_yaml_of_the_matrix_changes(name: str, runs: bool) -> None:
    assert bool(re.search(HOOK["files"], name)) == runs
