"""Which files of a package the code of a case can get to, told from what modules name, without importing any."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import qatrix
from qatrix.quantizers import BUILT_IN

if TYPE_CHECKING:
    from qatrix.declare.spec import Case

# Packages whose code comes to run by what qatrix, a quantizer and they themselves name.
FOLLOWED: Final = ("torchao", "executorch")
# What runs cases; the other parts of qatrix name modules to print them.
_RUNNING: Final = ("pipelines", "execute")
_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")

# The folders in which a package is looked for, by its name.
Places = Mapping[str, Sequence[Path]]


class Reach:
    """The files that a case can get to in packages: what any case can, and what its quantizer can besides.

    More than it does get to: a module counts that is named in any function of a module that counts.
    """

    def __init__(self, places: Places) -> None:
        self._places = places
        self._named: dict[str, tuple[str, ...]] = {}
        folder = Path(qatrix.__file__).parent
        sources = (path for part in _RUNNING for path in sorted((folder / part).rglob("*.py")))
        self._always = self._followed(name for path in sources for name in _names(path, "qatrix", package=False))

    def of(self, case: Case) -> frozenset[str] | None:
        """The files by their paths, "torchao/quantization/utils.py"; None where the user's own code may get to any."""
        if case.runs_own_code:
            return None
        return self._always | self._followed(_quantizer_modules(case))

    def _followed(self, modules: Iterable[str]) -> frozenset[str]:
        """The files of modules and of all that they name, one after another."""
        left, seen, files = list(modules), set[str](), set[str]()
        while left:
            module = left.pop()
            if module in seen:
                continue
            seen.add(module)
            for path, name in self._sources(module):
                files.add(name)
                left += self._names_in(path, module)
            parent = module.rpartition(".")[0]
            left += [parent] if parent else []
        return frozenset(files)

    def _sources(self, module: str) -> Iterator[tuple[Path, str]]:
        package, *parts = module.split(".")
        for place in self._places.get(package, ()):
            for name in ("/".join([*parts, "__init__.py"]), f"{'/'.join(parts)}.py"):
                if (place / name).is_file():
                    yield place / name, f"{package}/{name}"

    def _names_in(self, path: Path, module: str) -> tuple[str, ...]:
        key = str(path)
        if key not in self._named:
            found = _names(path, module, package=path.name == "__init__.py")
            self._named[key] = tuple(name for name in found if name.partition(".")[0] in self._places)
        return self._named[key]


def _quantizer_modules(case: Case) -> Iterator[str]:
    for member in case.quantizer.members:
        known = BUILT_IN.get(getattr(member.pt2e, "quantizer", ""))
        if known is not None:
            yield from known.modules.values()
            yield from () if known.deployed is None else (known.deployed,)


def _names(path: Path, module: str, *, package: bool) -> Iterator[str]:
    """What a module imports anywhere in it, and what text in it reads like the name of a module."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (item.name for item in node.names)
        elif isinstance(node, ast.ImportFrom):
            home = _home(node, module, package=package)
            yield home
            yield from (f"{home}.{item.name}" for item in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _DOTTED.fullmatch(node.value):
            yield node.value


def _home(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    """The module that names are imported from, whatever dots it is written with."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])
