"""Faults of batch norms: in the prepared program, before it is converted, and after."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Final

import torch

from mutants.faults.fault import Fault, Find, Point, Quantity
from mutants.norms import Norm, norms
from mutants.programs import Place, Program, insert_after
from mutants.weights import quantized_weights
from qatrix.judge.graphs.ops import op_name


def _each(change: Callable[[Norm], object]) -> Find:
    def find(program: Program) -> Iterator[Place]:
        for norm in norms(program):
            yield Place(norm.layer, functools.partial(change, norm))

    return find


def _filled(**values: float) -> Find:
    def plant(norm: Norm) -> None:
        for name, tensor in norm.tensors().items():
            if name in values:
                with torch.no_grad():
                    tensor.fill_(values[name])

    return _each(plant)


def _fold_once_more(program: Program) -> Iterator[Place]:
    """The weight multiplied by what converting will multiply it by once more."""
    for norm in norms(program):
        if norm.weight_of_layer() is not None:
            yield Place(norm.layer, functools.partial(_fold, norm))


def _fold(norm: Norm) -> None:
    weight, tensors = norm.weight_of_layer(), norm.tensors()
    assert weight is not None
    with torch.no_grad():
        factor = tensors["weight"] / (tensors["running_var"] + 1e-5).sqrt()
        weight.mul_(factor.reshape(-1, *[1] * (weight.ndim - 1)))


def _left_behind(program: Program) -> Iterator[Place]:
    """A batch norm that changes nothing, after each convolution."""
    for node in program.nodes:
        layer = program.layer_of(node)
        if layer is not None and op_name(node) in {"conv", "conv2d", "convrelu2d"}:
            yield Place(layer, functools.partial(_leave, program, layer))


def _leave(program: Program, layer: str) -> None:
    node = next(item for item in program.nodes if program.layer_of(item) == layer and op_name(item).startswith("conv"))
    value = next(item for item in program.nodes if item.op == "placeholder")
    channels = _channels(program, layer)
    mean = program.reading(value, "planted_mean", torch.zeros(channels))
    var = program.reading(value, "planted_var", torch.ones(channels))
    insert_after(program, node, torch.ops.aten.batch_norm.default, None, None, mean, var, False, 0.0, 0.0, False)


def _channels(program: Program, layer: str) -> int:
    return next(weight.codes().shape[0] for weight in quantized_weights(program) if weight.layer == layer)


def _fault(name: str, point: Point, quantity: Quantity, about: str, find: Find) -> Fault:
    return Fault(name=name, about=about, point=point, quantity=quantity, find=find)


FAULTS: Final = (
    _fault(
        "norm_eps_prepared",
        "prepared",
        "eps",
        "a batch norm trains with 1000 times its eps",
        _each(lambda norm: norm.change_eps(1000, also_of_scale=True)),
    ),
    _fault(
        "norm_eps_converted",
        "calibrated",
        "eps",
        "a batch norm is folded with 1000 times its eps",
        _each(lambda norm: norm.change_eps(1000, also_of_scale=False)),
    ),
    _fault(
        "norm_momentum",
        "prepared",
        "momentum",
        "a batch norm's statistics follow the batches faster",
        _each(lambda norm: norm.change_momentum(0.4)),
    ),
    _fault(
        "norm_statistics_frozen",
        "prepared",
        "statistics",
        "a batch norm trains with its running statistics, and leaves them as they are",
        _each(lambda norm: norm.stop()),
    ),
    _fault(
        "norm_statistics_reset",
        "calibrated",
        "statistics",
        "a batch norm is folded with the statistics that it began with",
        _filled(running_mean=0.0, running_var=1.0),
    ),
    _fault(
        "norm_mean_ignored",
        "calibrated",
        "statistics",
        "a batch norm is folded without its mean",
        _filled(running_mean=0.0),
    ),
    _fault("norm_weight_lost", "calibrated", "norm", "a batch norm is folded without its weight", _filled(weight=1.0)),
    _fault("norm_bias_lost", "calibrated", "norm", "a batch norm is folded without its bias", _filled(bias=0.0)),
    _fault("norm_folded_twice", "calibrated", "norm", "a batch norm's factor is folded in twice", _fold_once_more),
    _fault(
        "norm_left", "converted", "norm", "a batch norm that changes nothing stays behind a convolution", _left_behind
    ),
)
