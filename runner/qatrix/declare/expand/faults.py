"""What can be wrong with a suite once its patterns are known, as problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from qatrix.declare.expand.names import SAFE_VALUE, takes, value_text
from qatrix.declare.expand.points import Block
from qatrix.declare.language import nearest
from qatrix.declare.spec import Matrix, Rule, SuiteSpec
from qatrix.errors import Problem, Source
from qatrix.expressions import Value


def axis_faults(axes: Mapping[str, Sequence[Value]], source: Source, *, at: str) -> Iterator[Problem]:
    """Values that cannot stand in a case id, and values of one axis that would look the same there."""
    for axis, values in axes.items():
        known: dict[str, Value] = {}
        for value in values:
            text = value_text(value)
            if not SAFE_VALUE.fullmatch(text):
                yield Problem(
                    source=source,
                    message=f"the value {value!r} of axis '{axis}' cannot stand in a case id",
                    at=at,
                    expected="letters, digits and the characters _ . + -",
                )
            twin = known.setdefault(text, value)
            if type(twin) is not type(value):
                yield Problem(
                    source=source,
                    message=f"the values {twin!r} and {value!r} of axis '{axis}' are both {text} in a case id",
                    at=at,
                    expected="one of them, or values that read differently",
                )


def missing_names(block: Block, *, at: str) -> Iterator[Problem]:
    """The axes pattern and quantizer, where a block lacks them."""
    for axis in ("pattern", "quantizer"):
        if axis not in block.names:
            yield Problem(
                source=block.source,
                message=f"the axis '{axis}' is missing",
                at=at,
                expected=f"{axis}: one or more names",
            )


def missing_dims(matrix: Matrix, block: Block, *, at: str) -> Iterator[Problem]:
    """The axis dim, where a block lacks it, once for each pattern that takes it."""
    for name in dimless(matrix, block):
        yield Problem(
            source=block.source,
            message=f"the axis 'dim' is missing, which pattern '{name}' takes",
            at=at,
            expected="dim: 1, 2 or 3, or a list of them",
        )


def dimless(matrix: Matrix, block: Block) -> tuple[str, ...]:
    """The patterns of a block that take a dim which the block does not give."""
    if "dim" in block.names:
        return ()
    return tuple(str(name) for name in block.values_of("pattern") if matrix.patterns[str(name)].takes_dim)


def strange_axes(matrix: Matrix, block: Block, *, at: str) -> Iterator[Problem]:
    """Axes of an include that one of its patterns does not take: what is spelled out must count."""
    for name in block.values_of("pattern"):
        pattern = matrix.patterns[str(name)]
        for axis in block.names:
            if not takes(pattern, axis):
                yield Problem(
                    source=block.source,
                    message=f"pattern '{name}' does not take '{axis}'",
                    at=at,
                    expected=f"its parameters: {', '.join(pattern.params) or 'it has none'}",
                    hint=nearest(axis, pattern.params),
                )


def no_case(suite: SuiteSpec) -> Problem:
    """The error about a suite that stands for nothing."""
    return Problem(
        source=suite.source,
        message=f"suite '{suite.name}' declares no case",
        expected="a point of the product that no exclude drops, or an include",
    )


def idle_exclude(suite: SuiteSpec, rule: Rule, *, hidden: bool) -> Problem:
    """The warning about an exclude that drops nothing; `hidden` where an earlier one drops all that it fits."""
    message = "an earlier exclude drops every point that this one fits" if hidden else "no point has all these values"
    return Problem(
        source=rule.source,
        message=f"stale exclude: {message}",
        at=f"suite '{suite.name}', exclude",
        expected="an exclude that drops a point of the product",
        severity="warning",
    )


def idle_check(suite: SuiteSpec, number: int) -> Problem:
    """The warning about a use of a check whose `where` fits no case."""
    use = suite.checks[number]
    return Problem(
        source=use.source,
        message=f"check '{use.check.name}' is made on no case: none has all values of its where",
        at=f"suite '{suite.name}', checks",
        expected="values that a case of the suite has",
        severity="warning",
    )


def idle_nothing(suite: SuiteSpec, rule: Rule) -> Problem:
    """The warning about cases in which nothing is to be quantized, where there are none such."""
    return Problem(
        source=rule.source,
        message="this fits no case: none has all these values",
        at=f"suite '{suite.name}', quantizes, nothing",
        expected="values that a case of the suite has",
        severity="warning",
    )


def declared_again(suite: SuiteSpec, rule: Rule, *, case_ids: Sequence[str], first: Source) -> Problem:
    """The error about an include whose cases are declared elsewhere already."""
    more = f" (and {len(case_ids) - 1} more)" if len(case_ids) > 1 else ""
    return Problem(
        source=rule.source,
        message=f"case {case_ids[0]}{more} is declared at {first} already",
        at=f"suite '{suite.name}', include",
        expected="cases that the suite does not have yet",
    )
