"""What is switched in a prepared program before it is trained on, and whether it was."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn


class NotSwitched(Exception):
    """A program does not do what was asked of it: there is nothing to switch, or the pipeline's way leaves some on."""


def require_disabled_observers(program: nn.Module, way: str) -> None:
    """Raise NotSwitched unless the program has observers that can be switched, and all are off."""
    states = {name: module.observer_enabled for name, module in program.named_modules() if _is_switchable(module)}
    require_all_off("observer", len(states), [name for name, state in states.items() if bool(state)], way)


def require_all_off(kind: str, count: int, left: Sequence[str], way: str) -> None:
    """Raise NotSwitched where there are none of a kind, or some are left on."""
    if not count:
        msg = f"the prepared program has no {kind} to switch off"
        raise NotSwitched(msg)
    if left:
        msg = f"{way} leaves {len(left)} of {count} {kind}s on: {', '.join(left)}"
        raise NotSwitched(msg)


def _is_switchable(module: nn.Module) -> bool:
    return hasattr(module, "observer_enabled")
