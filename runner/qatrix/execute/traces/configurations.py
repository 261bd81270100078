"""The configurations of torch's compilers: modules of many values, each with a default."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

from torch.utils import _config_module

from qatrix.execute.traces.kinds import Kind, members_changed

_UNSET: Final = getattr(_config_module, "_UNSET_SENTINEL", object())


class _Values:
    """Which values of a configuration are not the default; most often the same ones as a moment ago."""

    def __init__(self, module: ModuleType) -> None:
        known: dict[str, Any] = vars(module).get("_config", {})
        self._gets = [_reader(known, name) for name in known]
        # Before torch 2.6 the entries are the values themselves.
        plain: dict[str, Any] = vars(module).get("_default", {})
        self.defaults = {name: getattr(entry, "default", plain.get(name)) for name, entry in known.items()}
        self._last: list[Any] = []
        self._found: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        values = [get() for get in self._gets]
        if values != self._last:
            self._last, self._found = values, dict(self._set(values))
        return self._found

    def _set(self, values: list[Any]) -> Iterator[tuple[str, Any]]:
        for (name, default), value in zip(self.defaults.items(), values):
            # As soon as some are read, torch sets them to a copy of the default.
            if value is not _UNSET and value is not default and value != default:
                yield name, value


def _reader(known: dict[str, Any], name: str) -> Callable[[], Any]:
    entry = known[name]
    if not hasattr(entry, "user_override"):
        return functools.partial(known.get, name)
    if isinstance(entry.user_override, ContextVar):
        return entry.user_override.get
    return functools.partial(getattr, entry, "user_override")


# One for each module that something has imported.
_values: Final = functools.cache(_Values)


def _configuration(module: str) -> Kind:
    def read() -> dict[str, Any]:
        found = sys.modules.get(module)
        return {} if found is None else _values(found)()

    def restore(was: dict[str, Any]) -> None:
        owner = sys.modules[module]
        for name in read().keys() | was.keys():
            setattr(owner, name, was.get(name, _values(owner).defaults[name]))

    return Kind(name=module, read=read, restore=restore, tell=members_changed)


CONFIGURATIONS: Final[tuple[Kind, ...]] = tuple(
    map(
        _configuration,
        ("torch._dynamo.config", "torch._functorch.config", "torch._inductor.config", "torch.fx.experimental._config"),
    )
)
