"""Arithmetic of a pattern that is out of bounds with the defaults of its parameters already; nothing is run."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator, Mapping
from typing import Final

from qatrix.arithmetic import EvaluationError, OutOfBounds
from qatrix.declare.inputs import tensors_of
from qatrix.declare.load.names import names_in
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor
from qatrix.declare.spec import PatternSpec
from qatrix.expressions import Assign, Expression, Name, Operation, Return, Statement, evaluate

_DIMS: Final = (1, 2, 3)
_TREES: Final = typing.get_args(Expression)


def check_bounds(registry: Registry, cursor: Cursor, spec: PatternSpec) -> None:
    """Note each layer, filling, input and line whose arithmetic is out of bounds.

    What other arithmetic cannot do, with None for instance, says nothing yet: an axis may give another value.
    """
    takes_dim = "dim" in names_in((spec.layers, spec.forward, spec.inputs, spec.init, spec.parameters, spec.buffers))
    noted: set[tuple[int, int]] = set()
    for dim in _DIMS if takes_dim else (None,):
        for at, fault in _faults(cursor, spec, {**spec.params, "dim": dim}):
            if (at.source.line, at.source.column) not in noted:
                expected = "a value that fits 64 bits, or a short list of such values"
                registry.note(at.problem(f"with the parameters' defaults: {fault}", expected=expected))
            noted.add((at.source.line, at.source.column))


def _faults(cursor: Cursor, spec: PatternSpec, scope: Mapping[str, object]) -> Iterator[tuple[Cursor, str]]:
    for item in spec.inputs:
        for part in tensors_of((item,)):
            sizes = part.shape if part.spatial is None else (*part.shape, part.spatial)
            yield from _of(cursor.down("inputs", item.name), sizes, scope)
    for section, tensors in (("parameters", spec.parameters), ("buffers", spec.buffers)):
        for item in tensors:
            yield from _of(cursor.down(section, item.name), item.shape, scope)
    for layer in spec.layers:
        arguments = (*layer.call.args, *(value for _, value in layer.call.kwargs))
        yield from _of(cursor.down("layers", layer.name), arguments, scope)
    for filling in spec.init:
        yield from _of(cursor.down("init", filling.path), (filling.value,), scope)
    known = dict(scope)
    for at, statement in zip(cursor.items_of("forward"), spec.forward):
        yield from _of(at, _values(statement), known)
        _assign(statement, known)


def _of(at: Cursor, expressions: tuple[Expression, ...], scope: Mapping[str, object]) -> Iterator[tuple[Cursor, str]]:
    for expression in expressions:
        fault = _fault(expression, scope)
        if fault is not None:
            yield at, fault


def _fault(expression: Expression, scope: Mapping[str, object]) -> str | None:
    """Why an expression, or a part of it that names no tensor, is out of bounds."""
    try:
        evaluate(expression, scope)
    except OutOfBounds as error:
        return str(error)
    except EvaluationError:
        faults = (_fault(part, scope) for part in _parts(expression))
        return next((fault for fault in faults if fault is not None), None)
    return None


def _parts(value: object) -> Iterator[Expression]:
    """The expressions directly below one."""
    for part in value if isinstance(value, tuple) else vars(value).values():
        if isinstance(part, _TREES):
            yield part
        elif isinstance(part, tuple):
            yield from _parts(part)


def _values(statement: Statement) -> tuple[Expression, ...]:
    match statement:
        case Assign(targets=(target,), value=value, operator=str(symbol)):
            return (Operation(symbol, (Name(target), value)),)
        case Assign(value=value) | Return(value=value):
            return (value,)
    return ()


def _assign(statement: Statement, known: dict[str, object]) -> None:
    """Note the plain value that a line gives a name, and forget what a name was that is a tensor now."""
    if not isinstance(statement, Assign):
        return
    (value,) = _values(statement)
    found: object = None
    with contextlib.suppress(EvaluationError):
        found = evaluate(value, known)
    for target in statement.targets:
        known.pop(target, None)
    if len(statement.targets) == 1 and found is not None:
        known[statement.targets[0]] = found
