"""Suites become cases: the product of their axes, less what they exclude, plus what they include.

Lazy and in a fixed order: suites and axes as in the files, the last axis fastest, then the
includes. All matching of axis values is on their text in case ids, so that `1`, `1.0` and
`true` are three values.
"""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.declare.expand.cases import DeclaredCase, check_values
from qatrix.declare.expand.names import DEFAULTS, file_name, model_key, value_text
from qatrix.declare.expand.suites import SuiteExpansion
from qatrix.declare.spec import Case, Matrix
from qatrix.errors import Problem
from qatrix.outcomes import Dropped

__all__ = ["DEFAULTS", "DeclaredCase", "check_values", "declared", "expand", "file_name", "model_key", "value_text"]


def expand(matrix: Matrix) -> Iterator[Case | Dropped | Problem]:
    """The same as `declared`, with every case made."""
    for item in declared(matrix):
        yield item.made() if isinstance(item, DeclaredCase) else item


def declared(matrix: Matrix) -> Iterator[DeclaredCase | Dropped | Problem]:
    """Every case of a matrix, and after a suite's cases what it dropped on the way and what is wrong with it.

    Holds no cases, and only hashes of those ids of one suite that another point could have too.
    """
    for suite in matrix.suites.values():
        yield from SuiteExpansion(matrix, suite).run()
