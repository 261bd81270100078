"""Cases for tests: from the shipped matrix, or from a few lines of YAML beside its patterns and quantizers."""

from __future__ import annotations

from pathlib import Path

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.source import case_source
from qatrix.declare.spec import Case
from qatrix.report.repro import own_names
from qatrix.resources import folder
from qatrix.scripts import CaseSource


def shipped_cases(*globs: str) -> tuple[Case, ...]:
    """Cases of the shipped matrix."""
    return _cases([folder("matrix")], globs)


def written_cases(tmp_path: Path, text: str, *globs: str) -> tuple[Case, ...]:
    """Cases of the suites in `text`, which may use the shipped patterns, quantizers, checks and conv kinds."""
    path = tmp_path / "written.yaml"
    path.write_text(text)
    shipped = folder("matrix")
    names = ("patterns", "conv_kinds.yaml", "quantizers.yaml", "checks.yaml", "devices.yaml")
    return _cases([*(shipped / name for name in names), path], globs)


def source_of(case: Case) -> CaseSource:
    """The case as source, for a script."""
    return case_source(case, taken=own_names())


def _cases(paths: list[Path], globs: tuple[str, ...]) -> tuple[Case, ...]:
    # Tests name classes of torch as factories.
    loaded = load(paths, allowed_modules=("torch",))
    assert loaded.matrix is not None, loaded.problems
    return select(loaded.matrix, Selection(cases=globs)).cases
