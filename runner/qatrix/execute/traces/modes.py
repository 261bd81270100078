"""What torch does to every call: modes, the default device, gradients, autocast, hooks on all modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import overrides
from torch.nn.modules import module as modules
from torch.utils import _python_dispatch
from torch.utils._device import DeviceContext

from qatrix.execute.traces.kinds import Kind, members_changed, shown

# By the parts' names, because a release may lack some of them.
_C: Any = torch._C
_HOOKS: Final = tuple(
    name for name in vars(modules) if name.startswith("_global_") and name.endswith(("hooks", "called"))
)


def _modes() -> Iterator[Kind]:
    yield Kind(name="torch's default device", read=_device, restore=_set_device, tell=_device_changed)
    yield Kind(name="torch's function modes", read=_functions, restore=_leave_functions, tell=_stack_changed)
    yield Kind(name="torch's dispatch modes", read=_dispatches, restore=_leave_dispatches, tell=_stack_changed)
    yield Kind(name="torch's default dtype", read=torch.get_default_dtype, restore=torch.set_default_dtype)
    yield Kind(name="torch's legacy default device", read=_C._get_default_device)
    yield Kind(name="torch.is_inference_mode_enabled()", read=torch.is_inference_mode_enabled)
    yield Kind(name="torch.is_grad_enabled()", read=torch.is_grad_enabled, restore=_C._set_grad_enabled)
    yield Kind(
        name="torch's anomaly detection",
        read=lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        restore=lambda was: torch.set_anomaly_enabled(*was),
    )
    yield Kind(
        name="torch's cache of autocast",
        read=torch.is_autocast_cache_enabled,
        restore=torch.set_autocast_cache_enabled,
    )
    # Since torch 2.4 for any device by its name.
    if hasattr(torch, "get_autocast_dtype"):
        yield from map(_autocast, ("cpu", "cuda"))
    yield from map(_hooks, _HOOKS)


def _device() -> torch.device | None:
    """The default device, None where none is set; torch.get_default_device would say "cpu" then, in both cases."""
    set_to = (mode.device for mode in reversed(overrides._get_current_function_mode_stack()) if _sets_device(mode))
    return next(set_to, None)


def _set_device(was: torch.device | None) -> None:
    torch.set_default_device(None)
    # What `with torch.device(…)` has set, if nobody left the block.
    while _device() is not None:
        next(mode for mode in overrides._get_current_function_mode_stack() if _sets_device(mode)).__exit__(
            None, None, None
        )
    if was is not None:
        torch.set_default_device(was)


def _device_changed(name: str, before: Any, now: Any) -> str:
    was, told = ("not set" if device is None else device for device in (before, now))
    return f"{name} was {was} and is {told}"


def _sets_device(mode: object) -> bool:
    return isinstance(mode, DeviceContext)


def _functions() -> tuple[Any, ...]:
    return tuple(mode for mode in overrides._get_current_function_mode_stack() if not _sets_device(mode))


def _leave_functions(was: tuple[Any, ...]) -> None:
    while len(_functions()) > len(was):
        overrides._pop_mode()


def _dispatches() -> tuple[Any, ...]:
    return tuple(_python_dispatch._get_current_dispatch_mode_stack())


def _leave_dispatches(was: tuple[Any, ...]) -> None:
    while len(now := _dispatches()) > len(was):
        _python_dispatch._pop_mode(getattr(now[-1], "_mode_key", None))


def _autocast(device: str) -> Kind:
    def restore(was: tuple[bool, torch.dtype]) -> None:
        torch.set_autocast_enabled(device, was[0])
        torch.set_autocast_dtype(device, was[1])

    return Kind(
        name=f"torch's autocast on {device}",
        read=lambda: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)),
        restore=restore,
    )


def _hooks(name: str) -> Kind:
    hooks: dict[int, Any] = getattr(modules, name)

    def restore(was: dict[int, Any]) -> None:
        hooks.clear()
        hooks.update(was)

    return Kind(
        name=f"torch.nn.modules.module.{name}",
        read=lambda: dict(hooks),
        restore=restore,
        tell=lambda told, was, now: members_changed(told, list(was.values()), list(now.values())),
    )


def _stack_changed(name: str, before: Any, now: Any) -> str:
    was, told = (" ".join(shown(type(mode)) for mode in modes) or "none" for modes in (before, now))
    return f"{name} were {was} and are {told}"


MODES: Final[tuple[Kind, ...]] = tuple(_modes())
