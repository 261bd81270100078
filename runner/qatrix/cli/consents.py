"""The modules whose code the user has consented to run: by an option, or by pyproject.toml."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from qatrix.errors import UsageError

# Bytes of a pyproject.toml.
_LONGEST_CONFIGURATION: Final = 1_000_000


def allowed_modules(more: Sequence[str] | None) -> tuple[str, ...]:
    """The modules whose code the user has consented to run: pyproject.toml's, the option's. Raises UsageError."""
    configuration = Path("pyproject.toml")
    written = f"{configuration}: [tool.qatrix] allow-modules"
    return (
        *_prefixes(written, _configured_modules(configuration)),
        *_prefixes("--allow-module", more or ()),
    )


def _prefixes(where: str, modules: Sequence[str]) -> Sequence[str]:
    from qatrix.declare.trust import is_path

    for name in modules:
        if not is_path(name):
            msg = f"{where}: {reprlib.repr(name)} is not a dotted name; expected a module such as my_package.models"
            raise UsageError(msg)
    return modules


def _configured_modules(path: Path) -> tuple[str, ...]:
    """`allow-modules` of the `[tool.qatrix]` table of ./pyproject.toml."""
    tables = _tables(path).get("tool", {})
    table = tables.get("qatrix", {}) if isinstance(tables, dict) else {}
    if not isinstance(table, dict):
        msg = f"{path}: tool.qatrix is {reprlib.repr(table)}; expected a table [tool.qatrix]"
        raise UsageError(msg)
    modules = table.get("allow-modules", [])
    if not isinstance(modules, list) or not all(isinstance(name, str) for name in modules):
        msg = f"{path}: [tool.qatrix] allow-modules is {reprlib.repr(modules)}; expected a list of module names"
        raise UsageError(msg)
    return tuple(modules)


def _tables(path: Path) -> dict[str, Any]:
    """What a TOML file holds, nothing where there is none; it may be a stranger's."""
    import tomllib

    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_CONFIGURATION + 1)
        if len(content) > _LONGEST_CONFIGURATION:
            msg = f"{path} cannot be read: it has more than {_LONGEST_CONFIGURATION:,} bytes"
            raise UsageError(msg)
        return tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:
        # Numbers of too many digits and nested brackets raise other errors than TOML's own.
        msg = f"{path} cannot be read: {error}"
        raise UsageError(msg) from error
