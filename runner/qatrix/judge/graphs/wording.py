"""Expressions as they were written, for messages."""

from __future__ import annotations

from qatrix.expressions import Call, Comprehension, Conditional, Literal, Loop, Name, Operation, Sequence


def text_of(expression: object) -> str:
    """An expression as it was written, or nearly so."""
    match expression:
        case Literal(value):
            return repr(value)
        case Name(id):
            return id
        case Operation(symbol, (operand,)):
            return f"{symbol} {text_of(operand)}"
        case Operation(symbol, (left, right)):
            return f"{text_of(left)} {symbol} {text_of(right)}"
        case Call(function, args, kwargs):
            given = [*map(text_of, args), *(f"{key}={text_of(item)}" for key, item in kwargs)]
            return f"{function}({', '.join(given)})"
        case Sequence(kind, items):
            told = ", ".join(map(text_of, items))
            return f"[{told}]" if kind == "list" else f"({told},)" if len(items) == 1 else f"({told})"
        case Conditional(condition, then, otherwise):
            return f"{text_of(then)} if {text_of(condition)} else {text_of(otherwise)}"
        case Comprehension(item, loops):
            return " ".join([text_of(item), *map(_loop, loops)])
    return str(expression)


def _loop(loop: Loop) -> str:
    conditions = "".join(f" if {text_of(condition)}" for condition in loop.conditions)
    return f"for {loop.target} in {text_of(loop.source)}{conditions}"


def names_in(expression: object) -> frozenset[str]:
    """The names that an expression asks for; those of its loops are its own."""
    match expression:
        case Name(id):
            return frozenset({id})
        case Operation(_, operands):
            return _all_in(operands)
        case Call(_, args, _):
            return _all_in(args)
        case Sequence(_, items):
            return _all_in(items)
        case Conditional(condition, then, otherwise):
            return _all_in((condition, then, otherwise))
        case Comprehension(item, loops):
            conditions = [condition for loop in loops for condition in loop.conditions]
            return _all_in((item, *conditions)) - {loop.target for loop in loops}
    return frozenset()


def _all_in(parts: tuple[object, ...]) -> frozenset[str]:
    return frozenset[str]().union(*map(names_in, parts))
