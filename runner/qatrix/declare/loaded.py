"""What reading a matrix gives."""

from __future__ import annotations

from typing import NamedTuple

from qatrix.declare.spec import Matrix
from qatrix.errors import Problem


class Loaded(NamedTuple):
    """The matrix, None where a problem is an error, and all problems in the order of files and lines."""

    matrix: Matrix | None
    problems: tuple[Problem, ...]
