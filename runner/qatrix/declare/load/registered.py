"""What a name in YAML stands for: something that a distribution registers, or code of the user's own."""

from __future__ import annotations

from typing import Final

from qatrix.declare.load.registry import Registry
from qatrix.declare.registrations import MODELS, named
from qatrix.declare.schema import Cursor
from qatrix.declare.spec import Registration
from qatrix.declare.trust import Kind, Trust, is_path

_ONCE: Final = "each name once in a distribution's entry points"


def read_registered(registry: Registry, at: Cursor, name: str, group: str, word: str) -> Registration | None:
    """What distributions register under a name in a group, None where it is nothing; faults of theirs are noted."""
    found = named(name, group)
    if not found:
        return None
    if len(found) > 1:
        whose = list(dict.fromkeys(f"{item.distribution} {item.version}" for item in found))
        ways = dict.fromkeys(f"{item.distribution}.{item.name}" for item in found)
        twice = len(whose) == 1
        message = f"the {word} '{name}' is registered {'twice ' if twice else ''}by {' and '.join(whose)}"
        registry.note(at.problem(message, expected=_ONCE if twice else " or ".join(ways)))
    elif not (is_path(found[0].module) and is_path(found[0].attribute)):
        of = f"{found[0].distribution} {found[0].version}"
        what, example = ("class or function", "name") if group == MODELS else ("class", "Class")
        message = f"{of} registers '{name}' as '{found[0].module}:{found[0].attribute}', which names no {what}"
        registry.note(at.problem(message, expected=f"module:{example} in its entry point"))
    return found[0]


def allow(registry: Registry, at: Cursor, path: str, kind: Kind, trust: Trust) -> bool:
    """Whether a name needs no consent or has it; where it does not, the reason is noted."""
    refused = trust.refusal(path, kind)
    if refused is not None:
        registry.note(at.problem(refused.message, expected=refused.expected, hint=refused.hint))
    return refused is None
