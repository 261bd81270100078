"""One suite on its way to cases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from qatrix.declare.expand import faults
from qatrix.declare.expand.cases import DeclaredCase, Used
from qatrix.declare.expand.makers import Makers
from qatrix.declare.expand.points import Block, Excludes, Point
from qatrix.declare.spec import Matrix, Rule, SuiteSpec
from qatrix.errors import Problem
from qatrix.outcomes import Dropped

# Where a case is declared: in the product, or in the include of that number, from 1.
_PRODUCT: Final = 0


class SuiteExpansion:
    """Expands one suite, once; counts what it drops."""

    def __init__(self, matrix: Matrix, suite: SuiteSpec) -> None:
        self._matrix = matrix
        self._suite = suite
        self._block = Block.of(suite.axes, suite.source)
        self._excludes = Excludes(suite.exclude, self._block)
        # Hash of a case id → where it is declared first; the ids themselves would take a multiple of the memory.
        self._seen: dict[int, int] = {}
        self._merged: Counter[str] = Counter()
        # Where first → the ids that the include at work declares again.
        self._again: defaultdict[int, list[str]] = defaultdict(list)
        self._used = Used()
        self._cases = 0
        self._errors = 0

    def run(self) -> Iterator[DeclaredCase | Dropped | Problem]:
        """The cases and the errors, then what was dropped, then the rules that did nothing."""
        if self._suite.axes:
            yield from self._product()
        for number, rule in enumerate(self._suite.include, start=1):
            yield from self._included(number, rule)
        yield from self._dropped()
        if self._errors:
            # What an incomplete expansion leaves idle says nothing.
            return
        if not self._cases:
            yield faults.no_case(self._suite)
        yield from self._idle()

    def _product(self) -> Iterator[DeclaredCase | Problem]:
        suite, block, at = self._suite, self._block, f"suite '{self._suite.name}', axes"
        unusable = [*faults.axis_faults(suite.axes, block.source, at=at), *faults.missing_names(block, at=at)]
        yield from self._counted([*unusable, *faults.missing_dims(self._matrix, block, at=at)])
        if not unusable:
            self._count_repeated(block)
            yield from self._made(block, self._excludes.kept(), declared=_PRODUCT)

    def _included(self, number: int, rule: Rule) -> Iterator[DeclaredCase | Problem]:
        at = f"suite '{self._suite.name}', include"
        # In an id the suite's axes come first, in the suite's order.
        ordered = [axis for axis in self._suite.axes if axis in rule.values]
        axes = {axis: rule.values[axis] for axis in (*ordered, *rule.values)}
        block = Block.of(axes, rule.source)
        unusable = [
            *faults.axis_faults(axes, rule.source, at=at),
            *faults.missing_names(block, at=at),
            *faults.missing_dims(self._matrix, block, at=at),
            *faults.strange_axes(self._matrix, block, at=at),
        ]
        yield from self._counted(unusable)
        if not unusable:
            self._count_repeated(block)
            yield from self._made(block, block.points(), declared=number)
            yield from self._counted(self._declared_again(rule))

    def _made(self, block: Block, points: Iterable[Point], *, declared: int) -> Iterator[DeclaredCase]:
        makers = Makers(self._matrix, self._suite, block=block, used=self._used)
        for texts, values in points:
            maker = makers.of(values)
            if maker is None:
                continue
            case_id = maker.case_id(texts)
            # Only points that lose an axis can become equal, and only an include can come on top.
            first = self._first(case_id, declared) if maker.left_out or self._suite.include else None
            if first is None:
                self._cases += 1
                yield maker.declared(case_id, texts, values)
            elif declared == _PRODUCT:
                self._merged[maker.merge_reason] += 1
            else:
                self._again[first].append(case_id)

    def _first(self, case_id: str, declared: int) -> int | None:
        """Where the case is declared already; None, and noted, where it is new."""
        key = hash(case_id)
        first = self._seen.get(key)
        if first is None:
            self._seen[key] = declared
        return first

    def _count_repeated(self, block: Block) -> None:
        if block.repeated:
            self._merged["an axis lists a value twice"] += block.repeated

    def _declared_again(self, rule: Rule) -> Iterator[Problem]:
        for first, case_ids in self._again.items():
            source = self._suite.include[first - 1].source if first else self._suite.source
            yield faults.declared_again(self._suite, rule, case_ids=case_ids, first=source)
        self._again.clear()

    def _counted(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        for problem in problems:
            self._errors += 1
            yield problem

    def _dropped(self) -> Iterator[Dropped]:
        suite = self._suite
        for because, count in self._merged.items():
            yield Dropped(kind="merged", suite=suite.name, because=because, count=count, source=suite.source)
        for rule, count in zip(suite.exclude, self._excludes.dropped):
            if count:
                yield Dropped(kind="excluded", suite=suite.name, because=rule.because, count=count, source=rule.source)

    def _idle(self) -> Iterator[Problem]:
        for number, rule in enumerate(self._suite.exclude):
            if not self._excludes.dropped[number]:
                yield faults.idle_exclude(self._suite, rule, hidden=self._excludes.fitted(number))
        if self._cases:
            for number in range(len(self._suite.checks)):
                if number not in self._used.checks:
                    yield faults.idle_check(self._suite, number)
            for number, rule in enumerate(self._suite.nothing):
                if number not in self._used.nothing:
                    yield faults.idle_nothing(self._suite, rule)
