"""The imports of a script: exactly those that it needs, in the usual order."""

from __future__ import annotations

import builtins
import symtable
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

_MODULES: Final = {
    name: f"import {name}"
    for name in """
    copy fnmatch functools io math numpy operator pathlib tempfile textwrap torch torchvision traceback warnings
    """.split()
}
_ALIASES: Final = {
    "load_file": "from safetensors.torch import load_file",
    "F": "import torch.nn.functional as F",
    "nn": "from torch import nn",
    "pytree": "import torch.utils._pytree as pytree",
    "reorder_kwargs": "from torch.export._tree_utils import reorder_kwargs",
}
# What scripts call modules.
MODULES: Final = frozenset((*_MODULES, *_ALIASES))
_QCONFIGS: Final = "torch.ao.quantization.qconfig"
_STANDARD: Final = (
    "copy",
    "fnmatch",
    "functools",
    "io",
    "math",
    "operator",
    "pathlib",
    "tempfile",
    "textwrap",
    "traceback",
    "warnings",
)
_LINE_LENGTH: Final = 120


def import_lines(body: str, *, homes: Mapping[str, str], more: tuple[str, ...] = ()) -> str:
    """The import statements for every name that a script's body takes from outside.

    `homes` is the module of each name of quantization; `more` are modules that the body calls by
    their whole names.
    Raises KeyError for a name that comes from nowhere, SyntaxError or ValueError where the body is not Python.
    """
    wanted = sorted(_free_names(body) - {module.partition(".")[0] for module in more})
    standard = [_MODULES[name] for name in wanted if name in _STANDARD]
    modules = {_MODULES[name] for name in wanted if name in _MODULES and name not in _STANDARD}
    modules |= {f"import {module}" for module in more}
    others = sorted(modules) + [_ALIASES[name] for name in wanted if name in _ALIASES]
    named: defaultdict[str, list[str]] = defaultdict(list)
    for name in wanted:
        if name not in MODULES:
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
    """The names that a script reads at its top level, or from inside as globals, and does not bind there.

    What a function calls its own variables does not count, whatever their names are.
    """
    top = symtable.symtable(body, "<script>", "exec")
    bound = {item.get_name() for item in top.get_symbols() if item.is_assigned() or item.is_imported()}
    read = {
        item.get_name()
        for table in _tables(top)
        for item in table.get_symbols()
        if item.is_referenced() and (table is top or item.is_global())
    }
    return read - bound - set(dir(builtins))


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)
