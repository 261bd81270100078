"""Ops that draw at random whenever a program runs: two samples may be equal by chance, the op is there all the same."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import fx, nn
from torch.nn.modules.dropout import _DropoutNd

from qatrix.judge.graphs.layers import nodes_of
from qatrix.judge.graphs.ops import called_module
from qatrix.judge.graphs.places import behind, place_of

# Arguments that switch an op's randomness off where they are false, and where they are zero.
_SWITCHES: Final = ("train", "training")
_PROBABILITIES: Final = ("p", "dropout_p", "dropout")
# What a Python function with a switch has too where that switches randomness; batch norm has none of these.
_DRAWING: Final = frozenset({*_PROBABILITIES, "lower"})
_ALWAYS: Final = (nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_WITH_DROPOUT: Final = (nn.RNNBase, nn.MultiheadAttention)


def live_random_ops(program: nn.Module) -> list[str]:
    """The ops of a program that draw at random each time it runs, dropout that is still in training among them."""
    return [
        f"{place_of(node)}{_where(node)} draws at random"
        for node in nodes_of(program)
        if _is_used(node) and draws_at_random(node)
    ]


def _where(node: fx.Node) -> str:
    """Behind which layer an op stands that is no module."""
    place = "" if node.op == "call_module" else behind(node)
    return "" if place in place_of(node) else place


def _is_used(node: fx.Node) -> bool:
    """Whether anything depends on a node; an op in place may be all but unused."""
    return bool(node.users) or str(node.target).rpartition(".")[0].endswith("_") or str(node.target).endswith("_")


def draws_at_random(node: fx.Node) -> bool:
    """Whether a node draws at random each time that it runs."""
    if node.op == "call_module":
        module = called_module(node)
        return module is not None and any(map(_is_drawing, module.modules()))
    if node.op not in {"call_function", "call_method"}:
        return False
    arguments = _random_arguments(node)
    return arguments is not None and _is_on(arguments)


def _is_drawing(module: nn.Module) -> bool:
    if isinstance(module, _ALWAYS):
        return module._random_samples is None
    if not module.training:
        return False
    if isinstance(module, _DropoutNd):
        return module.p > 0
    if isinstance(module, _WITH_DROPOUT):
        return module.dropout > 0
    return isinstance(module, nn.RReLU)


def _is_on(arguments: Mapping[str, Any]) -> bool:
    off = any(arguments.get(name) is False for name in _SWITCHES)
    return not off and all(arguments.get(name) != 0 for name in _PROBABILITIES)


def _random_arguments(node: fx.Node) -> Mapping[str, Any] | None:
    """The arguments by name of an op that can draw at random, None of one that cannot."""
    target: Any = node.target
    overload = _random_overload(target)
    if overload is not None:
        named = {item.name: item.default_value for item in overload._schema.arguments}
        return named | dict(zip(named, node.args)) | dict(node.kwargs)
    if not inspect.isfunction(target):
        return None
    try:
        bound = inspect.signature(target).bind(*node.args, **node.kwargs)
    except (TypeError, ValueError):
        return None
    bound.apply_defaults()
    return bound.arguments if bound.arguments.get("training") is True and _DRAWING & bound.arguments.keys() else None


def _random_overload(target: Any) -> Any:
    """The aten op that torch's own tables call random; functions and methods of torch go by their names."""
    if isinstance(target, torch._ops.OpOverload):
        return target if torch.Tag.nondeterministic_seeded in target.tags else None
    if inspect.isfunction(target):
        return None
    packet: Any = getattr(torch.ops.aten, target if isinstance(target, str) else getattr(target, "__name__", ""), None)
    overloads = [getattr(packet, name) for name in packet.overloads()] if hasattr(packet, "overloads") else []
    return next((item for item in overloads if torch.Tag.nondeterministic_seeded in item.tags), None)
