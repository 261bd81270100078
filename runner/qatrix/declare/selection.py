"""Which cases to take: globs over case ids, and values of axes."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qatrix.declare.expand import expand, value_text
from qatrix.declare.globs import matcher
from qatrix.declare.spec import Case, Matrix
from qatrix.errors import Problem, UsageError
from qatrix.outcomes import Dropped


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selectors of cases; a case is taken that fits one of `cases` and, for every axis of `only`, one value."""

    cases: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, cases: Sequence[str] = (), only: Sequence[str] = ()) -> Selection:
        """Read `--case GLOB` and `--only AXIS=VALUE[,VALUE]`; raises UsageError for anything else."""
        values: dict[str, tuple[str, ...]] = {}
        for text in only:
            axis, equals, value = text.partition("=")
            if not (axis and equals and value):
                msg = f"--only {text}: expected AXIS=VALUE, for instance --only dim=2 or --only dim=1,2"
                raise UsageError(msg)
            values[axis] = (*values.get(axis, ()), *value.split(","))
        return cls(cases=tuple(cases), only=values)

    def matches(self, case: Case) -> bool:
        """Whether a case is selected."""
        return self._named(case.case_id) and all(
            _text(case, axis) in values for axis, values in self.only.items()
        )

    def _named(self, case_id: str) -> bool:
        return not self.cases or any(matcher(glob)(case_id) for glob in self.cases)


class Selected(NamedTuple):
    """The selected cases, what their suites dropped, and everything that is wrong with the matrix."""

    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...]
    problems: tuple[Problem, ...]
    declared: tuple[str, ...]


def select(matrix: Matrix, selection: Selection) -> Selected:
    """Expand a matrix and take what is selected.

    `declared` holds the ids of all cases of the matrix, selected or not. Raises UsageError
    where a selector matches nothing: it is misspelt, and a run that silently leaves it out
    would prove nothing.
    """
    cases: list[Case] = []
    dropped: list[Dropped] = []
    problems: list[Problem] = []
    declared: list[str] = []
    unmatched = _Unmatched(selection)
    for item in expand(matrix):
        if isinstance(item, Problem):
            problems.append(item)
        elif isinstance(item, Dropped):
            dropped.append(item)
        else:
            declared.append(item.case_id)
            unmatched.see(item)
            if selection.matches(item):
                cases.append(item)
    if not any(problem.severity == "error" for problem in problems):
        unmatched.raise_for(matrix, taken=len(cases))
    suites = {case.suite for case in cases}
    kept = tuple(item for item in dropped if item.suite in suites)
    return Selected(tuple(cases), kept, tuple(problems), tuple(declared))


class _Unmatched:
    """Selectors that no case has fitted yet."""

    def __init__(self, selection: Selection) -> None:
        self._globs = set(selection.cases)
        self._values = {(axis, value) for axis, values in selection.only.items() for value in values}
        self._known: dict[str, set[str]] = {}

    def see(self, case: Case) -> None:
        self._globs -= {glob for glob in self._globs if matcher(glob)(case.case_id)}
        for axis in case.axes:
            self._known.setdefault(axis, set()).add(_text(case, axis))
        self._values -= {(axis, value) for axis, value in self._values if _text(case, axis) == value}

    def raise_for(self, matrix: Matrix, *, taken: int) -> None:
        """Raises UsageError with one line for every selector that matched nothing."""
        lines = [*self._lines_for_globs(matrix), *self._lines_for_values()]
        if not lines and not taken:
            lines = ["no case fits all the selectors at once; each of them alone fits some"]
        if lines:
            raise UsageError("\n".join(lines))

    def _lines_for_globs(self, matrix: Matrix) -> Iterator[str]:
        for glob in sorted(self._globs):
            suite = glob.partition("/")[0]
            hint = _nearest(suite, matrix.suites) if suite not in matrix.suites else ""
            yield f"--case {glob}: no case has such an id{hint}; `qatrix list` prints them all"

    def _lines_for_values(self) -> Iterator[str]:
        for axis, value in sorted(self._values):
            if axis not in self._known:
                yield f"--only {axis}={value}: no case has an axis '{axis}'{_nearest(axis, self._known)}"
            else:
                known = sorted(self._known[axis])
                yield f"--only {axis}={value}: no case has that value; there are {', '.join(known)}"


def _text(case: Case, axis: str) -> str:
    return value_text(case.axes[axis]) if axis in case.axes else ""


def _nearest(name: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
