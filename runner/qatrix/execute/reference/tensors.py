"""Tensors by what is in them, and outputs as a tree of JSON whose leaves name them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor


class Absent(Exception):
    """A tree names a tensor that is not there."""


class Unwritable(Exception):
    """An output that is neither a tensor, a number, a text, nor a tuple, list or dict of them."""


def digest(tensor: Tensor) -> str:
    """The SHA-256, in hex, of a tensor's dtype, shape and bytes."""
    plain = tensor.detach().cpu().contiguous()
    found = hashlib.sha256(f"{plain.dtype} {list(plain.shape)} ".encode())
    found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b"")
    return found.hexdigest()


def digest_of_all(named: Iterable[tuple[str, Tensor]]) -> str:
    """The SHA-256, in hex, of tensors with their names, in their order."""
    found = hashlib.sha256()
    for name, tensor in named:
        found.update(f"{name} {digest(tensor)}\n".encode())
    return found.hexdigest()


def tree_of(output: object, tensors: dict[str, Tensor]) -> str:
    """An output as JSON; its tensors are added to `tensors` by their digests. Raises Unwritable."""
    return json.dumps(_written(output, tensors))


def output_of(tree: str, tensor_of: Callable[[str], Tensor]) -> object:
    """The output that `tree_of` wrote."""
    return _read(json.loads(tree), tensor_of)


def tree_fault(tree: str, names: Collection[str]) -> str | None:
    """Why `output_of` could not read this with tensors of these names, after a noun; None where it can."""
    try:
        _read(json.loads(tree), lambda name: torch.empty(0) if name in names else _absent(name))
    except Absent as error:
        return str(error)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return "is no tree of values"
    return None


def digest_of_output(output: object) -> str | None:
    """A digest of an output and its structure; None where it is of another kind than those that can be written."""
    try:
        return hashlib.sha256(tree_of(output, {}).encode()).hexdigest()
    except Unwritable:
        return None


def _absent(name: object) -> NoReturn:
    msg = f"has a tensor {name!r:.16} that the file lacks"
    raise Absent(msg)


def _written(value: object, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = digest(value)
        # A tensor of its own: what shares memory with another could not be written.
        tensors.setdefault(name, value.detach().cpu().clone().contiguous())
        return {"tensor": name}
    if type(value) in {tuple, list}:
        assert isinstance(value, (tuple, list))
        return {type(value).__name__: [_written(item, tensors) for item in value]}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"dict": [[key, _written(item, tensors)] for key, item in value.items()]}
    if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return {"value": value}
    msg = f"an output holds a {type(value).__name__}"
    raise Unwritable(msg)


def _read(tree: Any, tensor_of: Callable[[str], Tensor]) -> object:
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensor_of(content)
    if kind == "dict":
        return {key: _read(item, tensor_of) for key, item in content}
    if kind == "value":
        return content
    if kind not in {"tuple", "list"}:
        raise ValueError(kind)
    items = [_read(item, tensor_of) for item in content]
    return tuple(items) if kind == "tuple" else items
