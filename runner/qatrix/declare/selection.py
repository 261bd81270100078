"""Which cases to take: globs over case ids, and values of axes."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qatrix.cycles import no_search_for_cycles
from qatrix.declare.covering import Covering, cover
from qatrix.declare.expand import DeclaredCase, declared, value_text
from qatrix.declare.globs import GlobIndex, alternatives
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.sharding import Shard
from qatrix.declare.spec import DEFAULT_TAG, FULL_TAG, Case, Matrix, SuiteSpec
from qatrix.declare.survey import Survey
from qatrix.errors import Problem, UsageError
from qatrix.outcomes import Dropped


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Selectors of cases; a case is taken that fits one of `cases` and, for every axis of `only`, one value.

    No `cases` means all whose suite has one of `tags`, of which "full" takes every suite. Values
    are texts as they stand in case ids. Of what is taken only so many cases are left that every
    combination of `strength` values stays; None leaves all.
    """

    cases: tuple[str, ...] = ()
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags: tuple[str, ...] = (DEFAULT_TAG,)
    strength: int | None = None

    @classmethod
    def parse(
        cls,
        cases: Sequence[str] = (),
        only: Sequence[str] = (),
        tags: Sequence[str] = (),
        strength: int | None = None,
    ) -> Selection:
        """Read `--case GLOB`, `--only AXIS=VALUE[,VALUE]` and `--tag NAME`; raises UsageError for anything else."""
        values: dict[str, tuple[str, ...]] = {}
        for text in only:
            axis, _, accepted = text.partition("=")
            parts = accepted.split(",")
            if not (axis.isidentifier() and all(parts)):
                msg = f"--only {text}: expected AXIS=VALUE, for instance --only dim=2 or --only dim=1,2"
                raise UsageError(msg)
            values[axis] = tuple(dict.fromkeys([*values.get(axis, ()), *parts]))
        if not all(cases):
            msg = (
                "--case: expected a glob over case ids, for instance --case 'conv_bn/*' (`qatrix list` prints the ids)"
            )
            raise UsageError(msg)
        for glob in cases:
            alternatives(glob)
        return cls(
            cases=tuple(dict.fromkeys(cases)),
            only=values,
            tags=tuple(dict.fromkeys(tags)) or (DEFAULT_TAG,),
            strength=strength,
        )

    @property
    def selectors(self) -> tuple[str, ...]:
        """The selectors as they are written, sorted: equal texts select the same."""
        axes = (f"--only {axis}={','.join(sorted(values))}" for axis, values in self.only.items())
        tags = [] if self.tags == (DEFAULT_TAG,) else [f"--tag {tag}" for tag in self.tags]
        strength = [] if self.strength is None else [f"--strength {self.strength}"]
        return (*sorted(f"--case {glob}" for glob in self.cases), *sorted(axes), *strength, *sorted(tags))

    def tagged(self, suite: SuiteSpec) -> bool:
        """Whether a suite's tags let its cases be taken; named by a glob they are taken whatever its tags."""
        return bool(self.cases) or FULL_TAG in self.tags or any(tag in suite.tags for tag in self.tags)

    def matches(self, case: Case) -> bool:
        """Whether a case is selected."""
        return (not self.cases or _index(self.cases).any(case.case_id)) and all(
            axis_text(case, axis) in values for axis, values in self.only.items()
        )


class Selected(NamedTuple):
    """The selected cases, what their suites dropped, and everything that is wrong with the matrix.

    `declared` holds the ids of all cases of the matrix, selected or not. Of a shard only
    `cases` are a part: `ordinals` are their places, from 0, among all that `selectors` fit.
    """

    cases: tuple[Case, ...]
    dropped: tuple[Dropped, ...]
    problems: tuple[Problem, ...]
    declared: tuple[str, ...]
    ordinals: tuple[int, ...]
    selectors: tuple[str, ...]
    shard: Shard | None
    covering: Covering | None = None


def select(matrix: Matrix, selection: Selection, shard: Shard | None = None) -> Selected:
    """Expand a matrix and take what is selected, or one slice of that, which may be empty.

    Raises UsageError where a selector matches nothing: it is misspelt, and a run that
    silently leaves it out would prove nothing.
    """
    cases: list[DeclaredCase] = []
    dropped: list[Dropped] = []
    problems: list[Problem] = []
    ids: list[str] = []
    with no_search_for_cycles():
        for item in iter_selected(matrix, selection, see=lambda case: ids.append(case.case_id)):
            if isinstance(item, DeclaredCase):
                cases.append(item)
            elif isinstance(item, Dropped):
                dropped.append(item)
            else:
                problems.append(item)
        covering = None if selection.strength is None else cover(cases, selection.strength)
    if covering is not None:
        dropped += _uncovered(matrix, cases, covering)
        cases = [cases[place] for place in covering.places]
    with no_search_for_cycles():
        made = [case.made() for case in cases]
    held = range(len(made)) if shard is None else shard.places(made)
    return Selected(
        cases=tuple(made[place] for place in held),
        dropped=tuple(dropped),
        problems=tuple(problems),
        declared=tuple(ids),
        ordinals=tuple(held),
        selectors=selection.selectors,
        shard=shard,
        covering=covering,
    )


def _uncovered(matrix: Matrix, cases: Sequence[DeclaredCase], covering: Covering) -> Iterator[Dropped]:
    """What a covering leaves out, by suite."""
    left = Counter(case.suite for case in cases)
    left.subtract(cases[place].suite for place in covering.places)
    for suite, count in left.items():
        if count:
            because = f"--strength {covering.strength}: every combination of their values is in a case that is taken"
            yield Dropped(kind="covered", suite=suite, because=because, count=count, source=matrix.suites[suite].source)


def iter_selected(
    matrix: Matrix, selection: Selection, *, see: Callable[[DeclaredCase], object] | None = None
) -> Iterator[DeclaredCase | Dropped | Problem]:
    """The same as `select`, one by one: nothing is kept, and no case is made.

    `see` is called with every declared case, selected or not. The UsageError about selectors
    that match nothing comes last, and not at all where the matrix itself is wrong.
    """
    tracker = SelectionTracker(selection)
    suites: set[str] = set()
    untagged: Counter[str] = Counter()
    broken = False
    _demand_tags(matrix, selection)
    tagged = {name: selection.tagged(suite) for name, suite in matrix.suites.items()}
    for item in declared(matrix):
        if isinstance(item, DeclaredCase):
            if see is not None:
                see(item)
            if not tagged[item.suite]:
                untagged[item.suite] += 1
            elif tracker.takes(item):
                suites.add(item.suite)
                yield item
        elif isinstance(item, Problem):
            broken = broken or item.severity == "error"
            yield item
        elif item.suite in suites:
            yield item
    if not broken:
        tracker.demand_matches(matrix)
    yield from (_untagged(matrix.suites[suite], count) for suite, count in untagged.items())


def _untagged(suite: SuiteSpec, count: int) -> Dropped:
    ways = " or ".join(f"--tag {tag}" for tag in dict.fromkeys((suite.tags[0], FULL_TAG)))
    because = f"its tags are {', '.join(suite.tags)}; {ways} takes them"
    return Dropped(kind="untagged", suite=suite.name, because=because, count=count, source=suite.source)


def _demand_tags(matrix: Matrix, selection: Selection) -> None:
    """Raise UsageError for a tag that no suite has."""
    known = dict.fromkeys([*(tag for suite in matrix.suites.values() for tag in suite.tags), FULL_TAG, DEFAULT_TAG])
    for tag in selection.tags:
        if tag not in known:
            hint = nearest(tag, known)
            more = f"; {hint}" if hint else ""
            msg = f"--tag {tag}: no suite has it (known: {', '.join(known)}){more}"
            raise UsageError(msg)


class SelectionTracker:
    """A selection at work; counts what each of its selectors matches."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._index = _index(selection.cases)
        self._fitted: Counter[str] = Counter()
        self._taken = 0

    def takes(self, case: DeclaredCase) -> bool:
        """Whether a case is selected."""
        selection = self._selection
        fitting = self._index.fitting(case.case_id) if selection.cases else ()
        for number in fitting:
            self._fitted[f"--case {selection.cases[number]}"] += 1
        taken = bool(fitting) or not selection.cases
        for axis, values in selection.only.items():
            text = case.text_of(axis)
            if text in values:
                self._fitted[f"--only {axis}={text}"] += 1
            else:
                taken = False
        self._taken += taken
        return taken

    def demand_matches(self, matrix: Matrix) -> None:
        """Raise a UsageError with a line for every selector that has matched no case, once all were seen."""
        selection = self._selection
        globs = [glob for glob in selection.cases if not self._fitted[f"--case {glob}"]]
        pairs = [(axis, value) for axis, accepted in selection.only.items() for value in accepted]
        values = [(axis, value) for axis, value in pairs if not self._fitted[f"--only {axis}={value}"]]
        if globs or values:
            raise UsageError(explain_empty(matrix, globs=globs, values=values))
        if not self._taken:
            counts = ", ".join(f"{selector} fits {count:,}" for selector, count in sorted(self._fitted.items()))
            msg = f"no case fits all selectors at once: {counts}" if counts else _none(matrix, selection)
            raise UsageError(msg)


def _none(matrix: Matrix, selection: Selection) -> str:
    """Why no case is taken though no selector names one."""
    if matrix.suites:
        tags = " or ".join(selection.tags)
        return f"no case is selected: no suite has the tag {tags}; --tag {FULL_TAG} takes every suite"
    return f"the matrix declares no case: no suite is in {listed(matrix.files)}; declare one under suites:"


def explain_empty(matrix: Matrix, *, globs: Sequence[str] = (), values: Sequence[tuple[str, str]] = ()) -> str:
    """Why selectors match nothing, a line each: what does not exist, and what is nearest to it."""
    survey = Survey(matrix)
    lines = [f"--case {glob}: {survey.about_glob(glob)}" for glob in globs]
    lines += [f"--only {axis}={value}: {survey.about_value(axis, value)}" for axis, value in values]
    return "\n".join(lines)


def axis_text(case: Case, axis: str) -> str | None:
    """A case's value of an axis as text; None where it has none. A suite may leave `conv` out, its cases have one."""
    if axis in case.axes:
        return value_text(case.axes[axis])
    return case.conv_kind.name if axis == "conv" and case.conv_kind is not None else None


@functools.lru_cache(maxsize=16)
def _index(globs: tuple[str, ...]) -> GlobIndex:
    return GlobIndex(globs)
