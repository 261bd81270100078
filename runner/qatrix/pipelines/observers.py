"""Declared tensor specs as constructors of observers and fake quantizes.

torch.ao and torchao each have their own classes under the same names; the caller says in
which of them to look.
"""

from __future__ import annotations

from typing import Any, Final

import torch

from qatrix.declare.spec import Mode, TensorSpec

OBSERVERS: Final = {
    "min_max": "MinMaxObserver",
    "moving_average_min_max": "MovingAverageMinMaxObserver",
    "per_channel_min_max": "PerChannelMinMaxObserver",
    "moving_average_per_channel_min_max": "MovingAveragePerChannelMinMaxObserver",
    "histogram": "HistogramObserver",
    "placeholder": "PlaceholderObserver",
}


def constructor(
    spec: TensorSpec, mode: Mode, space: Any, *, dtype: torch.dtype | None = None, ranged: bool = False
) -> Any:
    """What makes the observer (PTQ, dynamic) or fake quantize (QAT) of a declared tensor.

    `space` is where the classes are looked up by name: a module, or an object with those
    attributes. PT2E passes dtype, range and scheme on from its own quantization spec; for
    FX `ranged` puts them into the constructor, with FX's name for the dtype.
    """
    if spec.scale is not None:
        return _fixed(spec, mode, space, dtype=dtype)
    arguments = _arguments(spec)
    if ranged:
        arguments |= {
            "dtype": dtype,
            "quant_min": spec.quant_min,
            "quant_max": spec.quant_max,
            "qscheme": getattr(torch, spec.qscheme),
        }
        if mode == "dynamic" or spec.dynamic:
            arguments["is_dynamic"] = True
    observer = getattr(space, OBSERVERS[spec.observer or default_observer(spec, mode)])
    if mode != "qat":
        return observer.with_args(**arguments)
    if spec.fake_quantize == "default" and spec.observer is None and not spec.dynamic:
        # torchao looks into one level of with_args only, so none is added without need.
        return space.default_fake_quant.with_args(**arguments) if arguments else space.default_fake_quant
    plain = spec.fake_quantize == "default" or spec.dynamic
    fake_quantize = space.FakeQuantize if plain else space.FusedMovingAvgObsFakeQuantize
    return fake_quantize.with_args(observer=observer, **arguments)


def _arguments(spec: TensorSpec) -> dict[str, Any]:
    """What an observer is told beside its range, where that is not as the observer has it."""
    # As torch's own fake quantizes of dynamic activations have it: each range is that of what comes.
    constant = 1.0 if spec.dynamic and spec.averaging_constant is None else spec.averaging_constant
    given = {"eps": spec.eps, "ch_axis": spec.ch_axis, "averaging_constant": constant}
    found = {name: value for name, value in given.items() if value is not None}
    return {**found, "reduce_range": True} if spec.reduce_range else found


def _fixed(spec: TensorSpec, mode: Mode, space: Any, *, dtype: torch.dtype | None) -> Any:
    """What makes the observer or fake quantize of a fixed scale and zero point; for FX, PT2E has a spec of its own."""
    observer = space.FixedQParamsObserver.with_args(
        scale=spec.scale,
        zero_point=spec.zero_point or 0,
        dtype=dtype,
        quant_min=spec.quant_min,
        quant_max=spec.quant_max,
        qscheme=getattr(torch, spec.qscheme),
    )
    return space.FixedQParamsFakeQuantize.with_args(observer=observer) if mode == "qat" else observer


def default_observer(spec: TensorSpec, mode: Mode) -> str:
    """As torch's own default qconfigs have it: moving averages in QAT, plain min/max otherwise."""
    if mode == "dynamic":
        return "placeholder"
    per_channel = spec.qscheme.startswith("per_channel")
    if mode == "qat":
        return "moving_average_per_channel_min_max" if per_channel else "moving_average_min_max"
    return "per_channel_min_max" if per_channel else "min_max"
