"""One declared case that runs again, outside of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qatrix.cli.collaborators import Collaborators
from qatrix.cli.folders import newly_conducted
from qatrix.cli.matrices import load_matrix, selected_cases
from qatrix.errors import OutputError, UsageError
from qatrix.execute.options import Diagnose, Execution
from qatrix.resources import cache_folder

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.spec import Case, Matrix
    from qatrix.outcomes import Record

# A script takes the plain path, without a pattern cache: 10 to 30 s for a small model.
PATIENCE: Final = 900


def the_case(selector: str, paths: list[Path] | None, allow_module: list[str] | None) -> Case:
    """The one declared case that a selector fits; raises UsageError for several."""
    return one_case(load_matrix(paths, allow_module), selector)


def one_case(matrix: Matrix, selector: str) -> Case:
    """The one case of a matrix that a selector fits; raises UsageError for several."""
    from qatrix.declare.selection import Selection

    cases = selected_cases(matrix, Selection.parse([selector])).cases
    exact = [case for case in cases if case.case_id == selector]
    if len(exact or cases) != 1:
        ids = "\n".join(case.case_id for case in cases[:20])
        msg = f"{selector} fits {len(cases)} cases; name one of them:\n{ids}"
        raise UsageError(msg)
    return (exact or list(cases))[0]


@contextmanager
def scratch(tools: Collaborators, console: Console) -> Iterator[None]:
    """Within it, temporary files lie among what may be lost, so that the next command finds those of a dead one.

    Where that folder cannot be written, they lie where the system has them.
    """
    with ExitStack() as stack:
        with suppress(OutputError, RuntimeError):
            stack.enter_context(newly_conducted(cache_folder() / "repro", tools.now(), console))
        yield


def run_here(tools: Collaborators, case: Case, *, diagnose: Diagnose = "differences") -> Record:
    """The case, run in a process of its own."""
    options = Execution(workers=1, timeout=PATIENCE, diagnose=diagnose)
    (record,) = tools.execute([case], options=options, on_start=lambda _: None)
    return record
