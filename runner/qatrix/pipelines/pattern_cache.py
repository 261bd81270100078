"""Memoises the export of the conv-bn patterns, which is nearly all that PT2E's QAT spends its time on.

`prepare_qat_pt2e` and `convert_pt2e` export the same small patterns with `torch.export` on
every call, 108 times for one conv-bn-relu model (torch 2.15, torchao 0.18). The graphs
depend on the pattern function, what its closure holds, the example inputs' metadata,
`is_cuda` and the keyword arguments, so that is the key. Nothing is patched at import time:
the memo stands in for the function only inside `pattern_cache`.
"""

from __future__ import annotations

import contextlib
import copy
import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from torch import Tensor, fx, nn

from qatrix.pipelines import torchenv

# Per process, and so for its forks: the graphs are the same for every case.
_MEMO: dict[Hashable, fx.GraphModule] = {}


class Unkeyable(Exception):
    """A pattern holds something whose value cannot be told: it is exported anew, as without the memo."""


@contextlib.contextmanager
def pattern_cache() -> Iterator[str | None]:
    """Use the memo inside the block; yields why it does not apply, None where it does.

    It does not apply where the installed release lacks the function that it stands in for;
    the patterns are then exported on every call, which is slower and equal to the bit.
    """
    reason, bindings = _bindings()
    originals = [(module, getattr(module, torchenv.PATTERN_FUNCTION)) for module in bindings]
    for module, original in originals:
        setattr(module, torchenv.PATTERN_FUNCTION, memoised(original))
    try:
        yield reason
    finally:
        for module, original in originals:
            setattr(module, torchenv.PATTERN_FUNCTION, original)


def memoised(export: Callable[..., fx.GraphModule]) -> Callable[..., fx.GraphModule]:
    """The pattern export with a memory; every call returns a copy of its own, which callers may change."""

    def lookup(pattern: Any, example_inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any) -> fx.GraphModule:  # noqa: FBT001, FBT002 - torchao's signature
        try:
            key = (_frozen(pattern), _frozen(example_inputs), is_cuda, _frozen(kwargs))
        except Unkeyable:
            return export(pattern, example_inputs, is_cuda, **kwargs)
        if key not in _MEMO:
            _MEMO[key] = export(pattern, example_inputs, is_cuda, **kwargs)
        return copy.deepcopy(_MEMO[key])

    return lookup


def _bindings() -> tuple[str | None, tuple[types.ModuleType, ...]]:
    try:
        modules = torchenv.pattern_modules()
    except torchenv.PackageMissing as error:
        return f"pattern cache off: {error}", ()
    bound = tuple(module for module in modules if hasattr(module, torchenv.PATTERN_FUNCTION))
    if not bound:
        return f"pattern cache off: this release of torchao has no {torchenv.PATTERN_FUNCTION}", ()
    return None, bound


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
    return function.__code__, _frozen(cells), _frozen(function.__defaults__), _frozen(function.__kwdefaults__)


def _plain_attributes(module: nn.Module) -> dict[str, Any]:
    """What a module without parameters holds; torchao wraps each pattern function in such a module."""
    if any(True for _ in module.parameters()) or any(True for _ in module.buffers()):
        raise Unkeyable(type(module))
    return {key: item for key, item in vars(module).items() if key != "training" and not key.startswith("_")}
