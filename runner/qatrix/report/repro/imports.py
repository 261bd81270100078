"""The imports of a script: exactly those that it needs, in the usual order."""

from __future__ import annotations

import ast
import builtins
from collections import defaultdict
from collections.abc import Mapping
from typing import Final

_MODULES: Final = {
    name: f"import {name}" for name in "copy math operator textwrap torch torchvision traceback warnings".split()
}
_ALIASES: Final = {
    "F": "import torch.nn.functional as F",
    "nn": "from torch import nn",
    "pytree": "import torch.utils._pytree as pytree",
}
_QCONFIGS: Final = "torch.ao.quantization.qconfig"
_STANDARD: Final = ("copy", "math", "operator", "textwrap", "traceback", "warnings")
_LINE_LENGTH: Final = 120


def import_lines(body: str, *, homes: Mapping[str, str], dotted: tuple[str, ...] = ()) -> str:
    """The import statements for every name that a script's body uses and does not define.

    `homes` is the module of each name of quantization; `dotted` are paths that are called by
    their whole names, such as "torchvision.models.resnet18".
    Raises KeyError for a name that comes from nowhere.
    """
    wanted = sorted(_free_names(body) - {path.partition(".")[0] for path in dotted})
    standard = [_MODULES[name] for name in wanted if name in _STANDARD]
    modules = {_MODULES[name] for name in wanted if name in _MODULES and name not in _STANDARD}
    modules |= {f"import {path.rpartition('.')[0]}" for path in dotted}
    others = sorted(modules) + [_ALIASES[name] for name in wanted if name in _ALIASES]
    named: defaultdict[str, list[str]] = defaultdict(list)
    for name in wanted:
        if name not in _MODULES and name not in _ALIASES:
            named[_home(name, homes)].append(name)
    others += [_from(home, names) for home, names in named.items()]
    return "\n\n".join("\n".join(block) for block in (standard, _ordered(others)) if block)


def _home(name: str, homes: Mapping[str, str]) -> str:
    return _QCONFIGS if name.endswith("_qconfig") and name not in homes else homes[name]


def _ordered(lines: list[str]) -> list[str]:
    """Plain imports first, then those of names, each by module."""
    return sorted(lines, key=lambda line: (line.startswith("from"), line.split()[1], line))


def _from(home: str, names: list[str]) -> str:
    line = f"from {home} import {', '.join(names)}"
    if len(line) <= _LINE_LENGTH:
        return line
    return f"from {home} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _free_names(body: str) -> set[str]:
    """The names that a script reads and nowhere writes; each name means one thing in a whole script."""
    read: set[str] = set()
    written = set(dir(builtins))
    for node in ast.walk(ast.parse(body)):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else written).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            written.add(node.name)
        elif isinstance(node, ast.arg):
            written.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            written.add(node.name)
    return read - written
