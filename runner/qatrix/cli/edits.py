"""What one folder of code has that another has not: comments, layout and docstrings are no code."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from qatrix.contents import is_code

_COMPILED: Final = "__pycache__"
_ROOT: Final = "__init__.py"


def edited(base: Path, head: Path) -> tuple[str, ...]:
    """The files whose code is not the same in two folders of a package, by their paths in it, sorted.

    Of a package without an `__init__.py` Python takes what the head lacks from the base.
    """
    before, after = _files(base), _files(head)
    names = before.keys() | after.keys() if (head / _ROOT).is_file() else after.keys()
    return tuple(sorted(name for name in names if not _alike(before.get(name), after.get(name))))


def hidden(base: Path, head: Path, names: Iterable[str]) -> str | None:
    """A folder of changed files that Python would take from the base all the same, None where there is none.

    Of two folders of a name the one that has an `__init__.py` is the package, whichever comes first.
    """
    if (head / _ROOT).is_file():
        return None
    inner = (parent for name in names for parent in PurePosixPath(name).parents)
    return next(
        (str(path) for path in inner if (base / path / _ROOT).is_file() and not (head / path / _ROOT).is_file()), None
    )


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in _walked(folder)}


def _walked(folder: Path) -> Iterator[Path]:
    """Files of code, also in folders that are links, as in ExecuTorch's checkout; each folder once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if name != _COMPILED)
        if real not in seen:
            yield from (Path(place) / name for name in files if is_code(name))
        seen.add(real)


def _alike(one: Path | None, other: Path | None) -> bool:
    if one is None or other is None:
        return False
    left, right = one.read_bytes(), other.read_bytes()
    if left == right:
        return True
    return one.suffix == ".py" and _code(left) == _code(right) is not None


def _code(source: bytes) -> str | None:
    """A module without its comments and docstrings, None where it is none."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:]
    return ast.dump(tree)
