"""What the graph of a pattern depends on: a key within the process, and its digest for other processes."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Collection, Hashable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

# Their functions are what torch's version says they are; anyone else's could change unseen.
_STABLE_MODULES: Final = ("torch", "_operator")


class Unkeyable(Exception):
    """A pattern holds something whose value cannot be told."""


def key_of(
    pattern: Any, example_inputs: tuple[Any, ...], *, is_cuda: bool, keywords: dict[str, Any]
) -> tuple[Hashable, ...]:
    """A hashable that is equal for calls which export to equal graphs; raises Unkeyable."""
    return _frozen(pattern), _frozen(example_inputs), is_cuda, _frozen(keywords)


def digest_of(key: tuple[Hashable, ...], folders: Collection[Path]) -> str:
    """The same key in another process has the same digest, 64 hexadecimal digits.

    Raises Unkeyable where code or a class is defined outside `folders`, the folders whose
    source text the cache is bound to.
    """
    return hashlib.sha256(_told(key, folders).encode()).hexdigest()


def _frozen(value: Any) -> Hashable:
    """A hashable that is equal for values which export to equal graphs."""
    if value is None or isinstance(value, (bool, int, float, str)):
        # 1, 1.0 and True are equal and hash alike, but export differently.
        return type(value), value
    if isinstance(value, Tensor):
        return "tensor", tuple(value.shape), value.stride(), value.dtype, str(value.device)
    if isinstance(value, (tuple, list)):
        return (type(value), *map(_frozen, value))
    if isinstance(value, dict):
        return ("dict", *((key, _frozen(item)) for key, item in sorted(value.items())))
    if isinstance(value, types.FunctionType):
        return _frozen_function(value)
    if isinstance(value, nn.Module):
        return type(value), value.training, _frozen(_plain_attributes(value))
    if isinstance(value, (type, types.BuiltinFunctionType)):
        return value
    raise Unkeyable(type(value))


def _frozen_function(function: types.FunctionType) -> Hashable:
    cells = tuple(cell.cell_contents for cell in function.__closure__ or ())
    # Code is equal wherever its file is, and torch.ao and torchao have many a function in common.
    code = function.__code__, function.__code__.co_filename
    return *code, _frozen(cells), _frozen(function.__defaults__), _frozen(function.__kwdefaults__)


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module without parameters holds; torchao wraps each pattern function in such a module."""
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        raise Unkeyable(type(module))
    return {key: item for key, item in vars(module).items() if key != "training" and not key.startswith("_")}


def _told(part: Any, folders: Collection[Path]) -> str:
    """A part of a key as text that says all of it and nothing of this process, such as addresses."""
    if isinstance(part, tuple):
        return f"({','.join(_told(item, folders) for item in part)})"
    if part is None or isinstance(part, (bool, int, float, str, bytes, torch.dtype)):
        return repr(part)
    if isinstance(part, types.CodeType):
        return _told_code(part, folders)
    if isinstance(part, type):
        return _told_class(part, folders)
    if isinstance(part, types.BuiltinFunctionType):
        return _told_builtin(part)
    raise Unkeyable(type(part))


def _told_code(code: types.CodeType, folders: Collection[Path]) -> str:
    if Path(code.co_filename).parent not in folders:
        raise Unkeyable(code.co_filename)
    place = (code.co_filename, code.co_firstlineno, code.co_name)
    return f"code{place}{code.co_code.hex()}{code.co_names}{_told(code.co_consts, folders)}"


def _told_class(part: type, folders: Collection[Path]) -> str:
    defined = getattr(sys.modules.get(part.__module__), "__file__", None)
    if part.__module__ != "builtins" and (defined is None or Path(defined).parent not in folders):
        raise Unkeyable(part)
    return f"class {part.__module__}.{part.__qualname__}"


def _told_builtin(part: types.BuiltinFunctionType) -> str:
    module = part.__module__
    if module not in _STABLE_MODULES or getattr(sys.modules[module], part.__name__, None) is not part:
        raise Unkeyable(part)
    return f"builtin {module}.{part.__name__}"
