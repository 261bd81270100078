"""The quick tests: what is left out of them, and that none that needs torch passes for one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.quick import HEAVY, NothingHeavy, has_room

TESTS = Path(__file__).parent
CONFTEST = "from support import quick\ndef pytest_configure(config): quick.install(config)\n"
INI = "[pytest]\nmarkers =\n  torch:\n  slow:\n"


def session(folder: Path, module: str) -> str:
    """What a session of quick tests prints, with one module of tests."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_it.py").write_text(module)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:qatrix", "-p", "no:slipcover"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("name", sorted(HEAVY))
def test_what_is_heavy_cannot_be_imported(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"No module named '{name}.part'; quick tests do without it"):
        NothingHeavy().find_spec(f"{name}.part", None)


@pytest.mark.parametrize("name", ["torchless", "json", "qatrix.torch"])
def test_all_else_can_be(name: str) -> None:
    assert NothingHeavy().find_spec(name, None) is None


@pytest.mark.processes
def test_a_module_that_imports_torch_has_no_quick_tests(tmp_path: Path) -> None:
    assert "no tests ran" in session(tmp_path, "import torch\ndef test_it(): pass\n")


@pytest.mark.processes
def test_a_module_that_cannot_be_imported_for_another_reason_is_an_error(tmp_path: Path) -> None:
    told = session(tmp_path, "import nothing_of_this_name\ndef test_it(): pass\n")

    assert "No module named 'nothing_of_this_name'" in told
    assert "1 error" in told


@pytest.mark.processes
def test_a_test_that_imports_torch_while_it_runs_fails_and_says_what_to_do(tmp_path: Path) -> None:
    told = session(tmp_path, "def test_it():\n    import torch\n")

    assert "mark the test `torch`" in told
    assert "1 failed" in told


@pytest.mark.processes
@pytest.mark.skipif(not Path("/dev/shm").is_dir() or not has_room(), reason="there is no room in memory here")
def test_folders_stay_in_memory_where_a_test_has_failed_until_the_next_session(tmp_path: Path) -> None:
    tell = "def test_it(tmp_path):\n    (tmp_path / 'seen').touch()\n    print(f'<{tmp_path}>')\n    assert "
    (failed,) = re.findall(r"<(/dev/shm/.*)>", session(tmp_path, f"{tell}False\n"))
    assert (Path(failed) / "seen").exists()

    assert "1 passed" in session(tmp_path, f"{tell}True\n")
    assert not Path(failed).exists()


@pytest.mark.processes
@pytest.mark.parametrize("marker", ["torch", "slow"])
def test_a_test_that_is_marked_is_left_out(tmp_path: Path, marker: str) -> None:
    told = session(
        tmp_path, f"import pytest\n@pytest.mark.{marker}\ndef test_it(): assert False\ndef test_other(): pass\n"
    )

    assert "1 passed, 1 deselected" in told
