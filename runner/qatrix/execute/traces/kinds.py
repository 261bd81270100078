"""One kind of global state: how it is read, set back, and told where it has changed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from qatrix.execute import isolation
from qatrix.text import told as told_error

_LONGEST: Final = 80
# Members that a sentence names; the rest it counts.
_TOLD: Final = 3


@dataclass(frozen=True)
class Unreadable:
    """What stands for a state that cannot be read, and why."""

    why: str

    def __repr__(self) -> str:
        return f"unreadable ({self.why})"


def value_changed(name: str, before: object, now: object) -> str:
    """That a value is another: "torch's default device was cpu and is meta"."""
    return f"{name} was {shown(before)} and is {shown(now)}"


def members_changed(name: str, before: object, now: object) -> str:
    """Which members of a collection are new, other ones or gone: "sys.path has changed: added '/tmp'"."""
    if isinstance(before, Unreadable) or isinstance(now, Unreadable):
        return value_changed(name, before, now)
    old, new = _members(before), _members(now)
    parts = {
        "added": [shown(item) for item in new if item not in old],
        "changed": [shown(item) for item in new if item in old and new[item] != old[item]],
        "removed": [shown(item) for item in old if item not in new],
    }
    told = "; ".join(f"{word} {_listed(items)}" for word, items in parts.items() if items)
    return f"{name} has changed: {told or 'another order'}"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of global state.

    `read` gives a value that stays as it is when the state changes, to be compared and handed
    to `restore`, which is None where nothing can set the state back. `tell` makes the sentence
    from the name, the value before and the value now; `changed` says whether these two need one.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object] | None = None
    tell: Callable[[str, Any, Any], str] = value_changed
    changed: Callable[[Any, Any], object] = operator.ne

    def now(self) -> Any:
        """The value, or why it cannot be read."""
        try:
            return self.read()
        except BaseException as error:  # noqa: BLE001 - what a case has broken is a state like another
            isolation.let_ctrl_c_through(error)
            return Unreadable(told_error(error))


def shown(value: object) -> str:
    """A value in a few words, without the address of an object."""
    kind = type(value)
    if callable(value):
        return str(getattr(value, "__qualname__", kind.__name__))
    plain = (kind.__str__, kind.__repr__) == (object.__str__, object.__repr__)
    told = kind.__name__ if plain else repr(value) if isinstance(value, str) else str(value)
    return told if len(told) <= _LONGEST else f"{told[: _LONGEST - 1]}…"


def _members(values: Any) -> dict[Any, Any]:
    """A collection by its members, in order; those of a mapping have a value."""
    if isinstance(values, dict):
        return values
    return {_hashable(item): None for item in values if item is not None}


def _hashable(item: object) -> object:
    try:
        hash(item)
    except TypeError:
        return repr(item)
    return item


def _listed(items: Iterable[str]) -> str:
    first, *rest = [*items]
    named = ", ".join([first, *rest[: _TOLD - 1]])
    return named if len(rest) < _TOLD else f"{named} and {len(rest) - _TOLD + 1} more"
