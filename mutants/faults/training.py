"""Faults of a prepared program: what it observes, what it fakes, what it trains."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import nn

from mutants.faults.fault import Fault, Find, Point, Quantity
from mutants.norms import norms
from mutants.programs import Observed, Place, Program
from qatrix.judge.graphs.ops import module_name


def _each(change: Callable[[Any], object], *, of_weight: bool, only: str | None = None, moving: bool = False) -> Find:
    """Each fake quantize or observer, of weights or of activations; `only` one of the two.

    `moving` leaves out those of the model's inputs, which are the same in every step of a training.
    """

    def find(program: Program) -> Iterator[Place]:
        for item in program.observed():
            if moving and item.layer in _inputs(program):
                continue
            if item.of_weight == of_weight and only in {None, module_name(item.module)} and item.layer:
                yield Place(item.layer, functools.partial(change, item.module))

    return find


def _inputs(program: Program) -> frozenset[str]:
    return frozenset(site.name for site in program.layout.sites.values() if site.kind == "input")


def _blind(module: Any) -> None:
    """It sees nothing, and passes on what it is given."""
    if module_name(module) == "fake_quantize":
        module.disable_observer()
    else:
        module.forward = _same


def _same(value: object) -> object:
    return value


def _freeze_after_first(module: Any) -> None:
    """It keeps the range of the first forward pass."""

    def freeze(*_: object) -> None:
        module.disable_observer()

    module.register_forward_hook(freeze)


def _average_otherwise(module: Any) -> None:
    module.activation_post_process.averaging_constant = 0.5


def _has_average(item: Observed) -> bool:
    return hasattr(getattr(item.module, "activation_post_process", None), "averaging_constant")


def _averaged(program: Program) -> Iterator[Place]:
    for item in program.observed():
        if not item.of_weight and item.layer not in {"", *_inputs(program)} and _has_average(item):
            yield Place(item.layer, functools.partial(_average_otherwise, item.module))


def _widen(module: Any) -> None:
    """The observed range is twice as wide."""
    inner = getattr(module, "activation_post_process", module)
    for name in ("min_val", "max_val"):
        getattr(inner, name).mul_(2)


def _raise_least_scale(module: Any) -> None:
    """No scale is smaller than 0.05."""
    inner = getattr(module, "activation_post_process", module)
    inner.eps.fill_(0.05)


def _disable(module: Any) -> None:
    module.disable_fake_quant()


def _shift(module: Any) -> None:
    """The integers of a prepared program end early."""
    for item in (module, getattr(module, "activation_post_process", module)):
        item.quant_max = item.quant_max // 2


def _parameters(change: Callable[[nn.Parameter], object]) -> Find:
    """Each weight that a step of training would change, by the batch norm that follows its layer."""

    def find(program: Program) -> Iterator[Place]:
        for norm in norms(program):
            weight = norm.weight_of_layer()
            if isinstance(weight, nn.Parameter):
                yield Place(norm.layer, functools.partial(change, weight))

    return find


def _stop_training(weight: nn.Parameter) -> None:
    weight.register_hook(torch.zeros_like)


def _train_twice_as_fast(weight: nn.Parameter) -> None:
    weight.register_hook(lambda gradient: gradient * 2)


def _fault(name: str, point: Point, quantity: Quantity, about: str, find: Find, *, in_training: bool = False) -> Fault:
    return Fault(name=name, about=about, point=point, quantity=quantity, find=find, in_training=in_training)


FAULTS: Final = (
    _fault(
        "observer_blind",
        "prepared",
        "scale",
        "the observer of an activation sees nothing",
        _each(_blind, of_weight=False),
    ),
    _fault(
        "observer_stale",
        "prepared",
        "scale",
        "the observer of an activation keeps the range of the first forward pass",
        _each(_freeze_after_first, of_weight=False, only="fake_quantize", moving=True),
        in_training=True,
    ),
    _fault(
        "weight_observer_stale",
        "prepared",
        "scale",
        "the observer of a weight keeps the range of the first forward pass",
        _each(_freeze_after_first, of_weight=True, only="fake_quantize"),
        in_training=True,
    ),
    _fault(
        "observer_forgetful",
        "prepared",
        "scale",
        "an observer follows the newest values faster",
        _averaged,
        in_training=True,
    ),
    _fault(
        "observer_range_doubled",
        "calibrated",
        "scale",
        "the range of an activation is doubled before it is converted",
        _each(_widen, of_weight=False),
    ),
    _fault(
        "weight_range_doubled",
        "calibrated",
        "scale",
        "the range of a weight is doubled before it is converted",
        _each(_widen, of_weight=True),
    ),
    _fault(
        "least_scale",
        "calibrated",
        "scale",
        "the scale of an activation is no smaller than 0.05",
        _each(_raise_least_scale, of_weight=False),
    ),
    _fault(
        "fake_quantize_disabled",
        "prepared",
        "quantization",
        "an activation is not fake quantized in training",
        _each(_disable, of_weight=False, only="fake_quantize"),
    ),
    _fault(
        "weight_fake_quantize_disabled",
        "prepared",
        "quantization",
        "a weight is not fake quantized in training",
        _each(_disable, of_weight=True, only="fake_quantize"),
    ),
    _fault(
        "prepared_range",
        "prepared",
        "range",
        "the range of an activation's integers ends at half of its end",
        _each(_shift, of_weight=False),
    ),
    _fault(
        "prepared_weight_range",
        "prepared",
        "range",
        "the range of a weight's integers ends at half of its end",
        _each(_shift, of_weight=True),
    ),
    _fault(
        "weight_not_trained",
        "prepared",
        "weight",
        "a weight gets no gradients",
        _parameters(_stop_training),
        in_training=True,
    ),
    _fault(
        "weight_trained_faster",
        "prepared",
        "weight",
        "a weight gets twice its gradients",
        _parameters(_train_twice_as_fast),
        in_training=True,
    ),
)
