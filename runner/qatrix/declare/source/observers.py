"""Observers and fake quantizes of declared tensor specs, as source; the counterpart of pipelines.observers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qatrix.declare.source.text import call_text
from qatrix.declare.spec import Mode, TensorSpec
from qatrix.scripts import literal

_OBSERVERS: Final = {
    "min_max": "MinMaxObserver",
    "moving_average_min_max": "MovingAverageMinMaxObserver",
    "per_channel_min_max": "PerChannelMinMaxObserver",
    "moving_average_per_channel_min_max": "MovingAveragePerChannelMinMaxObserver",
    "histogram": "HistogramObserver",
    "placeholder": "PlaceholderObserver",
}


def range_arguments(spec: TensorSpec, dtype: str) -> list[str]:
    """Dtype, range and scheme, which FX graph mode's constructors are told; PT2E passes on its own spec's."""
    return [
        f"dtype=torch.{dtype}",
        f"quant_min={spec.quant_min}",
        f"quant_max={spec.quant_max}",
        f"qscheme=torch.{spec.qscheme}",
    ]


def constructor_call(
    spec: TensorSpec, mode: Mode, *, space: str = "", ranges: tuple[str, ...] = ()
) -> tuple[str, list[str]]:
    """What makes the observer, or the fake quantize: a name, and the arguments that it is called with, if any.

    `space` is what stands before the classes' names, with its point.
    """
    if spec.scale is not None:
        fixed = [f"scale={literal(spec.scale)}", f"zero_point={spec.zero_point or 0}", *ranges]
        if mode != "qat":
            return f"{space}FixedQParamsObserver.with_args", fixed
        # It is an argument of an argument, and stands eight columns to the right.
        observer = call_text(f"{space}FixedQParamsObserver.with_args", fixed, indent=8, prefix="observer=")
        return f"{space}FixedQParamsFakeQuantize.with_args", [observer]
    arguments = [*_arguments(spec), *ranges]
    observer = f"{space}{_OBSERVERS[spec.observer or _default_observer(spec, mode)]}"
    if mode != "qat":
        return _with_args(observer, arguments)
    if spec.fake_quantize == "default" and spec.observer is None and not spec.dynamic:
        return _with_args(f"{space}default_fake_quant", arguments)
    name = "FakeQuantize" if spec.fake_quantize == "default" or spec.dynamic else "FusedMovingAvgObsFakeQuantize"
    return f"{space}{name}.with_args", [f"observer={observer}", *arguments]


def _arguments(spec: TensorSpec) -> Iterator[str]:
    """What an observer is told beside its range."""
    constant = 1.0 if spec.dynamic and spec.averaging_constant is None else spec.averaging_constant
    for name, value in (("eps", spec.eps), ("ch_axis", spec.ch_axis), ("averaging_constant", constant)):
        if value is not None:
            yield f"{name}={literal(value)}"
    if spec.reduce_range:
        yield "reduce_range=True"


def _with_args(made: str, arguments: list[str]) -> tuple[str, list[str]]:
    return (f"{made}.with_args", arguments) if arguments else (made, [])


def _default_observer(spec: TensorSpec, mode: Mode) -> str:
    if mode == "dynamic":
        return "placeholder"
    per_channel = spec.qscheme.startswith("per_channel")
    if mode == "qat":
        return "moving_average_per_channel_min_max" if per_channel else "moving_average_min_max"
    return "per_channel_min_max" if per_channel else "min_max"
