"""Products of axes, and the rules that take points out of them."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qatrix.declare.expand.names import DEFAULTS, value_text
from qatrix.declare.spec import Rule
from qatrix.errors import Source
from qatrix.expressions import Value

# The texts ("dim=1") and the values of one point, both in the order of the axes.
Point: TypeAlias = tuple[tuple[str, ...], tuple[Value, ...]]


@dataclass(frozen=True, kw_only=True)
class Block:
    """A product of axes: that of a suite, or that of one include.

    `values` and `texts` ("dim=1") hold every value of an axis once; `repeated` counts the
    points that are gone because a list has a value twice.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    repeated: int
    source: Source

    @classmethod
    def of(cls, axes: Mapping[str, Sequence[Value]], source: Source) -> Block:
        """The product of the axes, in their order."""
        once = {axis: {f"{axis}={value_text(value)}": value for value in values} for axis, values in axes.items()}
        written = math.prod(len(values) for values in axes.values())
        return cls(
            names=tuple(axes),
            values=tuple(tuple(values.values()) for values in once.values()),
            texts=tuple(tuple(values) for values in once.values()),
            repeated=written - math.prod(len(values) for values in once.values()),
            source=source,
        )

    def values_of(self, axis: str) -> tuple[Value, ...]:
        """The values of an axis, none where the block does not have it."""
        return self.values[self.names.index(axis)] if axis in self.names else ()

    def points(self) -> Iterator[Point]:
        """All points, the last axis fastest."""
        return zip(itertools.product(*self.texts), itertools.product(*self.values))


class Excludes:
    """The excludes of a suite at work on its product; counts what each drops.

    A point goes to the first rule that fits it. Every value of every axis has a set of bits,
    one for each rule that allows it, so that a point costs one `and` per axis.
    """

    def __init__(self, rules: Sequence[Rule], block: Block) -> None:
        self.dropped = [0] * len(rules)
        self._fitted = 0
        self._block = block
        allowed = [{axis: _texts(axis, values) for axis, values in rule.values.items()} for rule in rules]
        self._possible = _bits(
            all(axis in block.names or f"{axis}={DEFAULTS.get(axis)}" in texts for axis, texts in one.items())
            for one in allowed
        )
        self._bits = tuple(_allowing(allowed, axis, texts) for axis, texts in zip(block.names, block.texts))

    def kept(self) -> Iterator[Point]:
        """The points that no rule drops."""
        if not self._possible:
            yield from self._block.points()
            return
        for point, bits in zip(self._block.points(), itertools.product(*self._bits)):
            fitting = functools.reduce(operator.and_, bits, self._possible)
            if not fitting:
                yield point
                continue
            self._fitted |= fitting
            self.dropped[(fitting & -fitting).bit_length() - 1] += 1

    def fitted(self, number: int) -> bool:
        """Whether a rule fits any point seen so far, also one that an earlier rule drops."""
        return bool(self._fitted >> number & 1)


def _texts(axis: str, values: Sequence[Value]) -> frozenset[str]:
    return frozenset(f"{axis}={value_text(value)}" for value in values)


def _allowing(allowed: Sequence[Mapping[str, frozenset[str]]], axis: str, texts: Sequence[str]) -> tuple[int, ...]:
    """For each value of an axis the rules that allow it: those that name it, and those that do not name the axis."""
    free = _bits(axis not in one for one in allowed)
    named: defaultdict[str, int] = defaultdict(int)
    for number, one in enumerate(allowed):
        for text in one.get(axis, ()):
            named[text] |= 1 << number
    return tuple(free | named[text] for text in texts)


def _bits(truths: Iterator[bool]) -> int:
    return sum(1 << number for number, true in enumerate(truths) if true)
