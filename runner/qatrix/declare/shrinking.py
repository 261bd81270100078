"""Smaller cases than a case: fewer layers and ops, fewer channels, smaller inputs. Nothing is run here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from qatrix.declare.inputs import tensors_of
from qatrix.declare.spec import Case, PatternSpec
from qatrix.expressions import Assign, Call, Expression, Literal, MethodCall, Name, Operation, Return, Sequence


@dataclass(frozen=True, kw_only=True)
class Smaller:
    """A case with less in it, and what was taken away, in words."""

    case: Case
    change: str


def smaller_cases(case: Case) -> Iterator[Smaller]:
    """Cases that are smaller by one step, the greatest steps first; some do not run at all.

    A model that a factory makes keeps its layers: only its inputs shrink.
    """
    yield from _with_fewer_ops(case)
    yield from _with_smaller_parameters(case)
    yield from _with_smaller_numbers(case)


def _with_fewer_ops(case: Case) -> Iterator[Smaller]:
    pattern = case.pattern
    for place, statement in enumerate(pattern.forward):
        if isinstance(statement, Assign):
            rest = (*pattern.forward[:place], *pattern.forward[place + 1 :])
            yield _with_pattern(case, replace(pattern, forward=rest), f"without {_target(statement)}")
    for place, statement in enumerate(pattern.forward):
        if not isinstance(statement, (Assign, Return)):
            continue
        for value, gone in _simpler(statement.value):
            forward = (*pattern.forward[:place], replace(statement, value=value), *pattern.forward[place + 1 :])
            yield _with_pattern(case, replace(pattern, forward=forward), f"without {gone}")


def _with_smaller_parameters(case: Case) -> Iterator[Smaller]:
    for name, value in case.params.items():
        for less in _less(value):
            yield Smaller(
                case=replace(case, params={**case.params, name: less}), change=f"{name} {less} instead of {value}"
            )


def _with_smaller_numbers(case: Case) -> Iterator[Smaller]:
    """The same number everywhere at once: what one layer gives is what the next one takes."""
    pattern = case.pattern
    numbers: Counter[int] = Counter()
    for sizes in ((item.call.args, item.call.kwargs) for item in pattern.layers):
        numbers.update(_numbers(sizes))
    tensors = (*tensors_of(pattern.inputs), *pattern.parameters, *pattern.buffers)
    for shape in ((item.shape, item.spatial) for item in tensors):
        numbers.update(_numbers(shape))
    for number in sorted(numbers, reverse=True):
        for less in _less(number):
            parts = ("layers", "inputs", "parameters", "buffers")
            changed = replace(pattern, **{part: _renumbered(getattr(pattern, part), number, less) for part in parts})
            yield _with_pattern(case, changed, f"{less} instead of {number}")


def _less(value: object) -> Iterator[int]:
    """Smaller whole numbers to try, the smallest first."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 1:
        yield from dict.fromkeys((1, 2, value // 2, value - 1) if value > 2 else (1,))  # noqa: PLR2004 - of the two


def _simpler(expression: Expression) -> Iterator[tuple[Expression, str]]:
    """The expression without one of its calls or operators, and which that is."""
    yield from _reduced(expression)
    for name, value in _fields(expression):
        for changed, gone in _simpler_value(value):
            yield replace(expression, **{name: changed}), gone


def _simpler_value(value: object) -> Iterator[tuple[Any, str]]:
    if isinstance(value, tuple):
        for place, item in enumerate(value):
            for changed, gone in _simpler_value(item):
                yield (*value[:place], changed, *value[place + 1 :]), gone
    elif is_dataclass(value) and not isinstance(value, type):
        yield from _simpler(value)  # type: ignore[arg-type]  # an expression holds expressions alone


def _reduced(expression: Expression) -> Iterator[tuple[Expression, str]]:
    match expression:
        case Call(function, (first, *_)):
            for item in first.items if isinstance(first, Sequence) else (first,):
                yield item, function
        case MethodCall(value, method):
            yield value, f".{method}()"
        case Operation(operator, (left, right)):
            yield left, operator
            yield right, operator


def _with_pattern(case: Case, pattern: PatternSpec, change: str) -> Smaller:
    return Smaller(case=replace(case, pattern=_tidy(pattern)), change=change)


def _tidy(pattern: PatternSpec) -> PatternSpec:
    """Without assignments of a name to itself, without layers that nothing calls, and without what fills those."""
    forward = tuple(line for line in pattern.forward if not _is_idle(line))
    called = {item.function for line in forward for item in _calls(line)}
    layers = tuple(item for item in pattern.layers if item.name in called)
    init = tuple(item for item in pattern.init if item.path.partition(".")[0] in called)
    named = {item.id for item in _names(forward)}
    parameters = tuple(item for item in pattern.parameters if item.name in named)
    buffers = tuple(item for item in pattern.buffers if item.name in named)
    return replace(pattern, forward=forward, layers=layers, init=init, parameters=parameters, buffers=buffers)


def _is_idle(statement: object) -> bool:
    return (
        isinstance(statement, Assign)
        and statement.operator is None
        and isinstance(statement.value, Name)
        and statement.targets == (statement.value.id,)
    )


def _calls(value: object) -> Iterator[Call]:
    if isinstance(value, Call):
        yield value
    for part in _parts(value):
        yield from _calls(part)


def _names(value: object) -> Iterator[Name]:
    if isinstance(value, Name):
        yield value
    for part in _parts(value):
        yield from _names(part)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, tuple):
        return value
    return [part for _, part in _fields(value)]


def _fields(value: object) -> Iterator[tuple[str, object]]:
    """The fields of a node of the language; of what is none, nothing."""
    if is_dataclass(value) and not isinstance(value, type):
        yield from ((field.name, getattr(value, field.name)) for field in fields(value) if field.name != "source")


def _numbers(value: object) -> Iterator[int]:
    if isinstance(value, Literal):
        if isinstance(value.value, int) and not isinstance(value.value, bool) and value.value > 1:
            yield value.value
        return
    for part in _parts(value):
        yield from _numbers(part)


def _renumbered(value: Any, number: int, less: int) -> Any:
    """The value with one whole number instead of another in all its literals."""
    if isinstance(value, Literal):
        is_number = value.value == number and type(value.value) is int
        return Literal(less) if is_number else value
    if isinstance(value, tuple):
        return tuple(_renumbered(item, number, less) for item in value)
    changed: Mapping[str, Any] = {
        name: _renumbered(part, number, less)
        for name, part in _fields(value)
        if isinstance(part, tuple) or is_dataclass(part)
    }
    return replace(value, **changed) if changed else value


def _target(statement: Assign) -> str:
    return f"the assignment of {', '.join(statement.targets)}"
