"""What unknown code says of what ran where: plain data, so that it need not import qatrix."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from qatrix.lowerings import Arithmetic, FloatOp, Kernel, Ran
from qatrix.text import clipped, one_line

_T = TypeVar("_T")
_ARITHMETICS: Final[tuple[str, ...]] = typing.get_args(Arithmetic)
_COUNTS: Final = ("delegated", "left_over", "partitions", "size_bytes")
# It goes into every report.
_MOST_TEXT: Final = 1000
_MOST_ITEMS: Final = 10_000
# As in every record, whose whole numbers have 64 bits.
_MOST: Final = 2**63 - 1


class RuntimeFault(Exception):
    """A runtime of unknown code does what none may do; the message says what, and what was expected."""


def ran_of(account: object, what: str) -> Ran:
    """What ran where, from a mapping with any of the fields of `Ran`; None says nothing.

    A kernel is a mapping with the fields of `Kernel`, or a tuple of their values from the first on; so is a float op.
    Raises RuntimeFault, which calls the account `what`.
    """
    if account is None:
        return Ran()
    if not isinstance(account, Mapping):
        raise _fault(what, account, "a mapping")
    _refuse_others(account, [field.name for field in dataclasses.fields(Ran)], what)
    return Ran(
        kernels=_items(account.get("kernels", ()), f"kernels in {what}", _kernel),
        float_ops=_items(account.get("float_ops", ()), f"float_ops in {what}", _float_op),
        notes=_items(account.get("notes", ()), f"notes in {what}", _text),
        **{name: _count(account.get(name), f"{name} in {what}") for name in _COUNTS},
    )


def _kernel(item: object, what: str) -> Kernel:
    values = _members(item, Kernel, what)
    arithmetic = values.get("arithmetic")
    if not isinstance(arithmetic, str) or arithmetic not in _ARITHMETICS:
        subject = f"arithmetic of {what}"
        raise _fault(subject, arithmetic, " or ".join(map(repr, _ARITHMETICS)))
    count = _count(values.get("count", 1), f"count of {what}")
    return Kernel(
        name=_text(values.get("name"), f"name of {what}"),
        arithmetic=typing.cast("Arithmetic", arithmetic),
        count=1 if count is None else count,
        layers=_items(values.get("layers", ()), f"layers of {what}", _text),
    )


def _float_op(item: object, what: str) -> FloatOp:
    values = _members(item, FloatOp, what)
    layer, because = values.get("layer"), values.get("because")
    return FloatOp(
        op=_text(values.get("op"), f"op of {what}"),
        layer=None if layer is None else _text(layer, f"layer of {what}"),
        because=None if because is None else _text(because, f"because of {what}"),
    )


def _members(item: object, kind: type[Kernel | FloatOp], what: str) -> Mapping[str, Any]:
    """The values of an item by the names of fields."""
    names = [field.name for field in dataclasses.fields(kind)]
    if isinstance(item, Mapping):
        _refuse_others(item, names, what)
        return {str(name): value for name, value in item.items()}
    if isinstance(item, tuple) and len(item) <= len(names):
        return dict(zip(names, item))
    raise _fault(what, item, f"a mapping with {', '.join(names)}, or a tuple of them")


def _items(found: object, what: str, read: Callable[[object, str], _T]) -> tuple[_T, ...]:
    if not isinstance(found, (list, tuple)) or len(found) > _MOST_ITEMS:
        raise _fault(what, found, f"a list or tuple of at most {_MOST_ITEMS:,}")
    return tuple(read(item, f"item {number} of {what}") for number, item in enumerate(found, start=1))


def _count(found: object, what: str) -> int | None:
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= _MOST):
        return found
    raise _fault(what, found, "a whole number from 0 to 2**63 - 1, or None")


def _text(found: object, what: str) -> str:
    if isinstance(found, str):
        return clipped(one_line(found), _MOST_TEXT)
    raise _fault(what, found, "text")


def _refuse_others(found: Mapping[Any, Any], known: list[str], what: str) -> None:
    for name in found:
        if name not in known:
            msg = f"{what} has {clipped(one_line(repr(name)), 100)}; expected {', '.join(known)}"
            raise RuntimeFault(msg)


def _fault(what: str, found: object, expected: str) -> RuntimeFault:
    kind = "nothing" if found is None else clipped(one_line(repr(found)), 100)
    return RuntimeFault(f"{what} is {kind}; expected {expected}")
