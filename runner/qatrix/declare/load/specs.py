"""Tensor specs: of declared quantizers, of single ops, of QConfigs that are spelled out."""

from __future__ import annotations

from typing import Final

from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import DerivedSpec, Mode, TensorSpec
from qatrix.declare.vocabulary import INTEGER_RANGES

_OF_GROUPS: Final = ("per_channel_symmetric", "per_channel_affine")
_AVERAGING: Final = ("moving_average_min_max", "moving_average_per_channel_min_max")
_OBSERVED: Final = ("observer", "fake_quantize", "eps", "averaging_constant", "reduce_range")
# What a fake quantize of activations that are quantized as they come has; each range is that of what comes.
_AS_IT_COMES: Final = {"observer": "moving_average_min_max", "fake_quantize": "default"}


def read_tensor(
    registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode, *, of_activations: bool
) -> TensorSpec:
    """A tensor spec; what is wrong with it is noted."""
    _check_range(registry, cursor, spec)
    _check_fixed(registry, cursor, spec, mode)
    if spec.fake_quantize is not None and mode != "qat":
        at = cursor.key("fake_quantize")
        registry.note(at.problem(f"fake_quantize stands in mode {mode}", expected="mode: qat, or no fake_quantize"))
    _check_average(registry, cursor, spec, mode)
    if spec.group_size is not None:
        _check_groups(registry, cursor, spec, mode, of_activations=of_activations)
    if spec.dynamic:
        _check_dynamic(registry, cursor, spec, mode, of_activations=of_activations)
    return TensorSpec(**spec.model_dump(), source=cursor.source)


def read_derived(registry: Registry, cursor: Cursor, spec: models.DerivedSpec) -> DerivedSpec:
    """A derived bias; what is wrong with it is noted."""
    _check_range(registry, cursor, spec)
    values = spec.model_dump() | {"derived_from": tuple(spec.derived_from)}
    return DerivedSpec(**values, source=cursor.source)


def _check_average(registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode) -> None:
    """An averaging constant is for an observer that averages: those of training do unless another is named."""
    averages = spec.observer in _AVERAGING or (spec.observer is None and mode == "qat")
    if spec.averaging_constant is None or spec.scale is not None or averages:
        return
    at = cursor.key("averaging_constant")
    whose = f"observer {spec.observer}" if spec.observer is not None else f"mode {mode} without an observer"
    registry.note(
        at.problem(f"averaging_constant stands beside {whose}", expected=f"observer: {' or '.join(_AVERAGING)}")
    )


def _check_groups(
    registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode, *, of_activations: bool
) -> None:
    """Scales by group are those of weights along the last axis, which PT2E observes and does not train."""
    at = cursor.key("group_size")
    if of_activations:
        registry.note(at.problem("group_size stands in a spec of activations", expected="group_size with weight"))
    if mode == "qat":
        expected = "mode: ptq or dynamic, because PT2E has no fake quantize for groups"
        registry.note(at.problem("group_size stands in mode qat", expected=expected))
    if spec.qscheme not in _OF_GROUPS or spec.ch_axis != 0:
        beside = f"qscheme {spec.qscheme}" if spec.qscheme not in _OF_GROUPS else f"ch_axis {spec.ch_axis}"
        expected = f"qscheme: {' or '.join(_OF_GROUPS)}, ch_axis: 0"
        registry.note(at.problem(f"group_size stands beside {beside}", expected=expected))
    for name in ("observer", "averaging_constant", "reduce_range"):
        if getattr(spec, name):
            expected = f"no {name}: groups have an observer of their own"
            registry.note(cursor.key(name).problem(f"{name} stands beside group_size", expected=expected))


def _check_dynamic(
    registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode, *, of_activations: bool
) -> None:
    at = cursor.key("dynamic")
    if mode != "qat":
        expected = "no dynamic: mode dynamic says it of activations" if mode == "dynamic" else "mode: qat or dynamic"
        registry.note(at.problem(f"dynamic stands in mode {mode}", expected=expected))
    if not of_activations:
        registry.note(at.problem("dynamic stands in a spec of no activation", expected="dynamic with activation alone"))
    if spec.qscheme.startswith("per_channel") or spec.scale is not None:
        beside = "a fixed scale" if spec.scale is not None else f"qscheme {spec.qscheme}"
        registry.note(at.problem(f"dynamic stands beside {beside}", expected="a per_tensor scheme without scale"))
    for key, only in _AS_IT_COMES.items():
        value = getattr(spec, key)
        if value is not None and value != only:
            message = f"{key} {value} stands beside dynamic"
            registry.note(cursor.down(key).problem(message, expected=f"{key}: {only}, or no {key}"))


def _check_fixed(registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode) -> None:
    """A fixed scale stands alone: nothing is observed, and there is one for the whole tensor."""
    if spec.scale is None:
        if spec.zero_point is not None:
            at = cursor.key("zero_point")
            registry.note(at.problem("zero_point stands without scale", expected="scale: the fixed scale"))
        return
    for name in _OBSERVED:
        if getattr(spec, name):
            at = cursor.key(name)
            expected = f"no {name}: nothing is observed"
            registry.note(at.problem(f"{name} stands beside a fixed scale", expected=expected))
    at = cursor.key("scale")
    if spec.qscheme.startswith("per_channel"):
        message = f"scale stands beside qscheme {spec.qscheme}"
        registry.note(at.problem(message, expected="scale with per_tensor schemes only"))
    if mode == "dynamic":
        registry.note(at.problem("scale stands in mode dynamic", expected="mode: qat or ptq, or no scale"))
    zero_point = spec.zero_point or 0
    if not spec.quant_min <= zero_point <= spec.quant_max:
        at = cursor.down("zero_point") if spec.zero_point is not None else cursor.key("scale")
        message = f"zero_point {zero_point} is outside of the range"
        registry.note(at.problem(message, expected=f"{spec.quant_min} to {spec.quant_max}"))


def _check_range(registry: Registry, cursor: Cursor, spec: models.TensorSpec | models.DerivedSpec) -> None:
    """Note a range of integers that the dtype does not have, and an axis that does not go with the scheme."""
    low, high = INTEGER_RANGES[spec.dtype]
    for key, bound in (("quant_min", spec.quant_min), ("quant_max", spec.quant_max)):
        if not low <= bound <= high:
            at = cursor.down(key)
            registry.note(at.problem(f"{key} {bound} is outside {spec.dtype}", expected=f"{low} to {high}"))
    if spec.quant_min >= spec.quant_max:
        message = f"quant_min {spec.quant_min} is not below quant_max {spec.quant_max}"
        registry.note(cursor.down("quant_min").problem(message, expected="quant_min < quant_max"))
    per_channel = spec.qscheme.startswith("per_channel")
    if per_channel and spec.ch_axis is None:
        expected = "ch_axis: the axis of the channels, 0 for a convolution's weight"
        registry.note(cursor.problem(f"qscheme {spec.qscheme} lacks ch_axis", expected=expected))
    elif not per_channel and spec.ch_axis is not None:
        message = f"ch_axis stands beside qscheme {spec.qscheme}"
        registry.note(cursor.key("ch_axis").problem(message, expected="ch_axis with per_channel schemes only"))
