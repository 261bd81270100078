"""Faults of a converted program that is random, or whose state moves when it should not, or does not when it should."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch.nn import functional

from mutants.faults.fault import Fault, Find, Quantity
from mutants.programs import Place, Program, insert_after
from qatrix.judge.graphs.ops import base_name, constant_value, op_name

_WITH_WEIGHTS: Final = frozenset({"conv", "conv2d", "convrelu2d", "linear", "linearrelu"})


def _with_noise(value: Tensor) -> Tensor:
    return value + torch.randn_like(value) * 0.05


def _after_dequantizing(target: Any, *args: Any) -> Find:
    """A call on what each layer passes on."""

    def find(program: Program) -> Iterator[Place]:
        for pair in program.pairs():
            if len(pair.dequantizes) == 1:
                yield Place(pair.layer, functools.partial(insert_after, program, pair.dequantizes[0], target, *args))

    return find


def _dropout_live(program: Program) -> Iterator[Place]:
    for layer, node in program.ops("dropout"):
        yield Place(layer, functools.partial(insert_after, program, node, functional.dropout, 0.5, True))


def _moving(program: Program) -> Iterator[Place]:
    """What a layer computes moves by a thousandth with each call."""
    for node in program.nodes:
        layer = program.layer_of(node)
        if layer is not None and {op_name(node), base_name(node)} & _WITH_WEIGHTS:
            yield Place(layer, functools.partial(_move, program, node))


def _move(program: Program, node: fx.Node) -> None:
    held = program.hold("planted_offset", torch.zeros(1))
    with program.module.graph.inserting_before(node):
        offset = program.module.graph.get_attr(held)
        program.module.graph.call_function(torch.Tensor.add_, (offset, 1e-3))
    insert_after(program, node, operator.add, offset)


def _frozen(program: Program) -> Iterator[Place]:
    """A buffer that is no longer written to; its name stands for a layer."""
    for node in program.nodes:
        source = node.args[0] if base_name(node) == "add" and node.args else None
        writes = str(getattr(node.target, "__name__", node.target)).partition(".")[0].endswith("_")
        if writes and isinstance(source, fx.Node) and isinstance(constant_value(source), Tensor):
            yield Place(str(source.target), functools.partial(_stop_writing, program, node))


def _stop_writing(program: Program, node: fx.Node) -> None:
    node.op, node.target = "call_function", torch.add
    program.recompile()


def _fault(name: str, quantity: Quantity, about: str, find: Find) -> Fault:
    return Fault(name=name, about=about, point="converted", quantity=quantity, find=find)


FAULTS: Final = (
    _fault("dropout_live", "randomness", "a dropout stays live in evaluation", _dropout_live),
    _fault(
        "dropout_invented",
        "randomness",
        "a value is dropped at random that no dropout is for",
        _after_dequantizing(functional.dropout, 0.1, True),
    ),
    _fault("noise", "randomness", "noise is added to a value", _after_dequantizing(_with_noise)),
    _fault("state_moves", "state", "a new buffer moves with every call, and an output with it", _moving),
    _fault("state_frozen", "state", "a buffer that the model writes to stands still", _frozen),
)
