"""A change of content is seen, and nothing else is."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qatrix.cli.sight import Sight, declared_files, program_files


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two files, and a package that the user has written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for name in ("matrix/a.yaml", "matrix/suites/b.yaml", "site/mine_seen/net.py", "site/mine_seen/__init__.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    return tmp_path / "matrix"


def edit_in_secret(path: Path) -> None:
    before = path.stat()
    path.write_text("BEFORE")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        pytest.param(lambda folder: (folder / "a.yaml").write_text("after"), "a.yaml", id="an edit"),
        pytest.param(lambda folder: edit_in_secret(folder / "a.yaml"), "a.yaml", id="of equal size and time"),
        pytest.param(lambda folder: (folder / "suites/b.yaml").unlink(), "suites/b.yaml", id="a file less"),
        pytest.param(lambda folder: (folder / "suites/c.yaml").touch(), "suites/c.yaml", id="a file more"),
        pytest.param(lambda folder: (folder / "a.yaml").touch(), None, id="touched"),
        pytest.param(lambda folder: (folder / "a.yaml").write_text("before"), None, id="written as it was"),
        pytest.param(lambda folder: (folder / ".a.yaml.swp").touch(), None, id="a file of an editor's"),
        pytest.param(
            lambda folder: (folder.parent / "site/mine_seen/net.py").write_text("after"),
            "../site/mine_seen/net.py",
            id="a module of one's own",
        ),
        pytest.param(lambda folder: (folder.parent / "site/other.py").touch(), None, id="another module"),
    ],
)
def test_what_a_run_reads_is_seen_once_it_has_changed(
    matrix: Path, change: Callable[[Path], object], seen: str | None
) -> None:
    sight = Sight(declared_files([matrix], ["mine_seen.net"]))
    change(matrix)

    assert sight.changes() == (() if seen is None else ((matrix / seen).resolve(),))
    assert sight.changes() == ()


def test_a_file_that_is_named_is_looked_at_whatever_lies_beside_it(matrix: Path) -> None:
    sight = Sight(declared_files([matrix / "a.yaml"], []))
    (matrix / "other.yaml").touch()
    assert sight.changes() == ()
    (matrix / "a.yaml").write_text("after")

    assert sight.changes() == (matrix / "a.yaml",)


def test_a_matrix_that_is_gone_and_comes_back_is_a_change_each_time(matrix: Path) -> None:
    sight = Sight(declared_files([matrix], []))
    matrix.rename(matrix.with_name("away"))
    assert len(sight.changes()) == 2
    matrix.with_name("away").rename(matrix)

    assert len(sight.changes()) == 2


def test_a_file_that_is_looked_at_from_now_on_is_no_change_by_itself(matrix: Path) -> None:
    weights = matrix.parent / "weights.pt"
    weights.write_text("one")
    sight = Sight(declared_files([matrix], []))
    sight.also([weights, matrix / "a.yaml", matrix / "missing.pt"])
    assert sight.changes() == ()
    weights.write_text("two")

    assert sight.changes() == (weights,)


def test_a_module_that_is_written_later_is_seen(matrix: Path) -> None:
    sight = Sight(declared_files([matrix], ["mine_later"]))
    later = matrix.parent / "site/mine_later.py"
    later.touch()

    assert sight.changes() == (later,)


@pytest.mark.torch
def test_the_program_is_qatrix_and_what_quantizes() -> None:
    found = {path.as_posix() for path in program_files()}

    for name in ("qatrix/judge/verdict.py", "torch/ao/quantization/fake_quantize.py", "pt2e/quantize_pt2e.py"):
        assert any(path.endswith(name) for path in found)
    assert Path("pyproject.toml") in set(program_files())
