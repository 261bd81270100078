"""What an expansion yields, taken apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from qatrix.declare.expand import expand
from qatrix.declare.spec import Case, Matrix
from qatrix.errors import Problem
from qatrix.outcomes import Dropped
from support.problems import as_text

T = TypeVar("T")


def of_type(kind: type[T], items: Iterable[object]) -> list[T]:
    """The items of one type."""
    return [item for item in items if isinstance(item, kind)]


def cases(matrix: Matrix) -> list[Case]:
    """All cases of a matrix that has no problem."""
    items = list(expand(matrix))
    assert as_text(of_type(Problem, items)) == ""
    return of_type(Case, items)


def ids(matrix: Matrix) -> list[str]:
    """The ids of all cases of a matrix that has no problem."""
    return [case.case_id for case in cases(matrix)]


def problems(matrix: Matrix) -> str:
    """All problems, as text."""
    return as_text(of_type(Problem, expand(matrix)))


def dropped(matrix: Matrix) -> list[tuple[str, int, str]]:
    """Kind, count and reason of all that is dropped."""
    return [(item.kind, item.count, item.because) for item in of_type(Dropped, expand(matrix))]
