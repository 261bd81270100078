"""Where a node comes from in the model: what the exporter and FX's tracer note of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from torch import fx

from qatrix.judge.graphs.ops import base_name

# Where the rewritings of PT2E have their ops from: fusion for training, the switch from training to evaluation.
_REWRITING: Final = ".pt2e.export_utils."
# Operators by the name that all their spellings share.
_SPELLINGS: Final[Mapping[str, str]] = {
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "truediv": "div",
    "true_divide": "div",
    "imatmul": "matmul",
    "unsafe_view": "view",
    "upsample_nearest2d": "interpolate",
    "concat": "cat",
    "hardtanh": "relu6",
}
# Up to torch 2.5 a path is Python that reads the module: "getattr(L['self'].layers, '0').conv", "L['self'].rows[1]".
_ROOT: Final = re.compile(r"L\['\w+'\]")
_ATTRIBUTE: Final = re.compile(r"getattr\(((?:(?!getattr\().)+?), '([^']+)'\)")
_ITEM: Final = re.compile(r"\[(?:'([^']+)'|(\d+))\]")
# What the exporter notes of the call of torch that an op is from, as the calls are run.
_TORCH_FN: Final = "torch_fn"
# Where a module keeps its submodules, which is no part of their paths.
_SUBMODULES: Final = "_modules"


def canonical(name: str) -> str:
    """An operator's name whatever its spelling: "add" for add_, iadd and add.Tensor."""
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


def scope_of(node: fx.Node) -> str:
    """The path of the innermost module whose forward a node belongs to; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    entries = [value[0] for value in stack.values()]
    return plain_path(entries[-1]) if entries else ""


@functools.cache
def plain_path(path: str) -> str:
    """A module's path without the number of the call: "conv" for "conv@1", and for "L['self'].conv" of old releases."""
    path = path.partition("@")[0]
    return _dotted(path) if _ROOT.search(path) else path


def _dotted(path: str) -> str:
    """The path of the module that a line of Python reads from the model."""
    found = 1
    while found:
        path, found = _ATTRIBUTE.subn(r"\1.\2", path)
    parts = _ITEM.sub(r".\1\2", _ROOT.sub("", path, count=1)).split(".")
    return ".".join(part for part in parts if part not in {"", _SUBMODULES})


def call_number(node: fx.Node, path: str) -> int:
    """Which call of a module a node is from, 0 for the first and where nobody counts.

    A later call has "@1", "@2" after the key of its entry in the stack.
    """
    stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
    key = next((str(key) for key, value in stack.items() if plain_path(value[0]) == path), "")
    number = key.rpartition("@")[2]
    return int(number) if "@" in key and number.isdecimal() else 0


def module_paths(node: fx.Node) -> list[str]:
    """The paths of the modules whose forward a node belongs to, the outermost first; empty where nobody says."""
    stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
    return [plain_path(value[0]) for value in stack.values()]


def module_type(node: fx.Node) -> str:
    """The dotted name of the innermost module's class; empty where nobody says."""
    stack: Mapping[str, Any] = node.meta.get("nn_module_stack") or {}
    kind = [value[1] for value in stack.values()][-1:]
    return "".join(item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}" for item in kind)


def is_made_anew(node: fx.Node) -> bool:
    """Whether an exported node says nothing of the model: a rewriting made it, or its metadata is lost."""
    return not module_paths(node) or is_of_rewriting(node)


def is_of_rewriting(node: fx.Node) -> bool:
    """Whether the metadata of an exported node are those of the rewriting that made it."""
    return _REWRITING in module_type(node)


def parameter_owner(node: fx.Node) -> str:
    """The path of the module whose parameters and buffers a node reads; empty where it reads none, or several's."""
    sources = (source for source in node.all_input_nodes if source.op == "get_attr")
    owners = {_owner(source) for source in sources if not str(source.target).startswith("_")}
    return owners.pop() if len(owners) == 1 else ""


def _owner(constant: fx.Node) -> str:
    """The path of the module that has a parameter or buffer; up to torch 2.5 `conv.weight` is called `conv_weight`."""
    name = str(constant.target)
    if "." in name:
        return name.rpartition(".")[0]
    scope = scope_of(constant)
    return scope if scope and name.startswith(f"{scope.replace('.', '_')}_") else ""


def source_call(node: fx.Node) -> tuple[object, str]:
    """What the exporter's tracer called the call that a node comes from, and the function that was called.

    A program that was captured non-strict has no `source_fn_stack`. Its `torch_fn` says the same of what runs:
    the linear of a Linear is ("linear_1", "builtin_function_or_method.linear").
    """
    stack = node.meta.get("source_fn_stack")
    if stack:
        name, function = stack[-1]
        return name, function if isinstance(function, str) else getattr(function, "__name__", str(function))
    if _TORCH_FN in node.meta:
        name, function = node.meta[_TORCH_FN]
        return name, function.rpartition(".")[2]
    return node, base_name(node)


def calls_function(node: fx.Node) -> bool:
    """Whether the exporter says that a node comes from a function which the model calls, and not from a layer."""
    stack = node.meta.get("source_fn_stack")
    if stack:
        return not isinstance(stack[-1][1], type)
    return _TORCH_FN in node.meta and not is_layer_of_torch(node)


def is_layer_of_torch(node: fx.Node) -> bool:
    """Whether the innermost module is one of torch's layers, and not a module that calls functions or layers."""
    kind = module_type(node)
    return kind.startswith("torch.nn.") and ".container." not in kind
