"""The module that a script imports for a factory."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare.source.modules import module_of


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that cannot be imported, with a module in it."""
    (tmp_path / "own_package").mkdir()
    for name in ("__init__", "Models"):
        (tmp_path / "own_package" / f"{name}.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("own_package.build", "own_package"),
        ("own_package.Net.small", "own_package"),
        ("own_package.Models.build", "own_package.Models"),
        ("own_package.Models.Net.small", "own_package.Models"),
        ("not_there.models.build", "not_there.models"),
    ],
)
def test_the_module_is_found_and_not_imported(path: str, module: str) -> None:
    assert module_of(path) == module
