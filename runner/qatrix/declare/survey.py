"""What a matrix has: its suites, patterns and axis values, to say what a mistaken selector should have been."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from qatrix.declare.expand import expand, value_text
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.spec import Case, Matrix

_SPECIAL: Final = re.compile(r"[*?\[{]")
# "dim=4" in a glob; a star before it may hide more of the axis, one after it more of the value.
_AXIS: Final = re.compile(r"([/,*])([A-Za-z_]\w*)=([A-Za-z0-9_.+-]+)(?=([,*]|$))")


@dataclass
class _Suite:
    """What the cases of one suite have."""

    patterns: set[str] = field(default_factory=set)
    values: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    example: str = ""


class Survey:
    """A look at all cases of a matrix; takes as long as an expansion, so it is for errors only."""

    def __init__(self, matrix: Matrix) -> None:
        self._suites: dict[str, _Suite] = {}
        for case in expand(matrix):
            if isinstance(case, Case):
                self._add(case)

    def about_glob(self, glob: str) -> str:
        """Why a glob fits no case id."""
        suite, slash, rest = glob.partition("/")
        if _SPECIAL.search(suite):
            head = _SPECIAL.split(suite)[0]
            if not any(name.startswith(head) for name in self._suites):
                return _missing(f"no suite begins with '{head}'", head, self._suites)
            return self._about_axes(glob, self._suites.values()) or "no case id fits; `qatrix list` prints them all"
        if suite not in self._suites:
            return _missing(f"there is no suite '{suite}'", suite, self._suites)
        known = self._suites[suite]
        pattern = rest.partition("/")[0]
        if slash and pattern and not _SPECIAL.search(pattern) and pattern not in known.patterns:
            return _missing(f"suite '{suite}' has no pattern '{pattern}'", pattern, known.patterns)
        return self._about_axes(rest, [known]) or f"no case id fits; one of this suite is {known.example}"

    def about_value(self, axis: str, value: str) -> str:
        """Why no case has a value of an axis."""
        return _about_value(axis, value, self._suites.values()) or f"no case has {axis}={value}"

    def _add(self, case: Case) -> None:
        known = self._suites.setdefault(case.suite, _Suite(example=case.case_id))
        known.patterns.add(case.pattern.name)
        for axis, value in case.axes.items():
            known.values[axis].add(value_text(value))

    def _about_axes(self, glob: str, suites: Iterable[_Suite]) -> str | None:
        """The first value that a glob spells out and that no case of the suites has."""
        for before, axis, value, after in _AXIS.findall(glob):
            found = _about_value(axis, value, suites, starts=after == "*", ends=before == "*")
            if found is not None:
                return found
        return None


def _about_value(
    axis: str, value: str, suites: Iterable[_Suite], *, starts: bool = False, ends: bool = False
) -> str | None:
    """What is wrong with a value of an axis, None where some case has it.

    `starts`: the value may go on; `ends`: the axis may be the end of a longer name.
    """
    values: defaultdict[str, set[str]] = defaultdict(set)
    for suite in suites:
        for name, texts in suite.values.items():
            values[name] |= texts
    meant = [name for name in values if name == axis or (ends and name.endswith(axis))]
    if not meant:
        return _missing(f"no case has an axis '{axis}'", axis, values)
    texts = set().union(*(values[name] for name in meant))
    if value in texts or (starts and any(text.startswith(value) for text in texts)):
        return None
    return _missing(f"no case has {axis}={value}", value, texts)


def _missing(message: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    hint = nearest(name, names)
    return f"{message} (known: {listed(names)})" + (f"; {hint}" if hint else "")
