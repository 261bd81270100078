"""Declared quantizers for FX: a QConfig, and a BackendConfig of the patterns to quantize."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import nn
from torch.ao import quantization
from torch.ao.quantization import QConfig, QConfigMapping
from torch.ao.quantization import backend_config as backends
from torch.ao.quantization import qconfig as qconfigs
from torch.ao.quantization.backend_config import BackendConfig, BackendPatternConfig, DTypeConfig, x86
from torch.ao.quantization.backend_config import _common_operator_config_utils as operators

from qatrix.declare.spec import QConfigSpec, QuantizerSpec, TensorSpec
from qatrix.pipelines.observers import constructor
from qatrix.pipelines.parts import settings

# FX knows integers by the dtypes of quantized tensors, and its reference modules by no others; int16 has none.
DTYPES: Final = {"uint8": torch.quint8, "int8": torch.qint8, "int32": torch.qint32}
_DTYPE_OF: Final = {quantized: getattr(torch, name) for name, quantized in DTYPES.items()}
_FAMILIES: Final[dict[str, Callable[[list[DTypeConfig]], Sequence[BackendPatternConfig]]]] = {
    "conv": operators._get_conv_configs,
    "linear": operators._get_linear_configs,
    "add": operators._get_binary_op_configs,
    "mul": operators._get_binary_op_configs,
    "cat": lambda dtypes: [operators._get_cat_config(dtypes)],
}


def inexpressible(quantizer: QuantizerSpec) -> str | None:
    """Why FX cannot express a declared quantizer, None where it can."""
    if quantizer.ops:
        return "FX graph mode quantizes the patterns of a backend config, not single ops of aten"
    if quantizer.bias is not None:
        return "FX graph mode leaves biases in float: it has no derived quantization spec"
    if quantizer.weight is not None and quantizer.weight.group_size is not None:
        return "FX graph mode has no scales by group"
    for spec in (quantizer.activation, quantizer.weight):
        if spec is not None and spec.dtype not in DTYPES:
            return f"FX graph mode has no quantized tensor of dtype {spec.dtype}"
    unknown = sorted({name for name in quantizer.annotate if name.partition("_")[0] not in _FAMILIES})
    if unknown:
        return f"FX graph mode has no backend pattern here for {', '.join(unknown)}"
    return _unshared(quantizer)


def _unshared(quantizer: QuantizerSpec) -> str | None:
    """Why FX cannot share parameters as declared: its concatenation always does, no other op that is declared ever."""
    others = sorted(set(quantizer.shared) - {"cat"})
    if others:
        return f"FX graph mode gives {', '.join(others)} scales of its own: it shares those of cat alone"
    if "cat" in quantizer.annotate and "cat" not in quantizer.shared:
        return "FX graph mode shares the scales of cat between its inputs and its output, which is not declared"
    return None


def qconfig_mapping(quantizer: QuantizerSpec) -> QConfigMapping:
    """What each op gets: all the same QConfig, or what a backend has for each by default."""
    backend = quantizer.fx.qconfig_mapping if quantizer.fx is not None else None
    if backend is not None:
        qat = quantizer.mode == "qat"
        make = quantization.get_default_qat_qconfig_mapping if qat else quantization.get_default_qconfig_mapping
        default: QConfigMapping = make(backend)
        return default
    return QConfigMapping().set_global(_qconfig(quantizer))


def set_parts(mapping: QConfigMapping, quantizer: QuantizerSpec) -> None:
    """Give modules, and classes of modules, the QConfigs that they have unlike the rest, or none."""
    if quantizer.fx is None:
        return
    for part in quantizer.fx.types:
        mapping.set_object_type(getattr(nn, part.name), _of_part(part.setting, quantizer))
    for path, setting in settings(quantizer.fx.modules).items():
        mapping.set_module_name(path, _of_part(setting, quantizer))


def integers(quantizer: QuantizerSpec) -> frozenset[tuple[Any, ...]]:
    """The dtypes of all QConfigs' observers, each with its least and greatest integer."""
    mapping = qconfig_mapping(quantizer)
    parts = (*quantizer.fx.modules, *quantizer.fx.types) if quantizer.fx is not None else ()
    known = [
        mapping.global_qconfig,
        *mapping.object_type_qconfigs.values(),
        *(_of_part(part.setting, quantizer) for part in parts),
    ]
    made = [make() for qconfig in known if qconfig is not None for make in (qconfig.activation, qconfig.weight)]
    return frozenset(
        (_DTYPE_OF.get(item.dtype, item.dtype), item.quant_min, item.quant_max)
        for item in made
        if hasattr(item, "quant_min")
    )


def _qconfig(quantizer: QuantizerSpec) -> QConfig:
    """The preset's QConfig by name or spelled out, or one made from the declared activation and weight."""
    if quantizer.fx is not None and quantizer.fx.qconfig is not None:
        return _made(quantizer.fx.qconfig, quantizer)
    return _spelled_out(QConfigSpec(activation=quantizer.activation, weight=quantizer.weight), quantizer)


def _made(setting: str | QConfigSpec, quantizer: QuantizerSpec) -> QConfig:
    if isinstance(setting, QConfigSpec):
        return _spelled_out(setting, quantizer)
    found: QConfig = getattr(qconfigs, setting)
    return found


def _spelled_out(spec: QConfigSpec, quantizer: QuantizerSpec) -> QConfig:
    return QConfig(activation=_declared(spec.activation, quantizer), weight=_declared(spec.weight, quantizer))


def _of_part(setting: str | QConfigSpec | None, quantizer: QuantizerSpec) -> QConfig | None:
    """The QConfig of a part, None where it stays in float."""
    return None if setting is None else _made(setting, quantizer)


def backend_config(quantizer: QuantizerSpec) -> BackendConfig:
    """The preset's backend config by name, or one that holds the declared patterns alone."""
    if quantizer.fx is not None:
        return _preset(quantizer.fx.backend_config)
    dtypes = [_dtype_config(quantizer)]
    shapes = {shape for name in quantizer.annotate for shape in _shapes(name)}
    configs = [
        config
        for family in sorted({name.partition("_")[0] for name in quantizer.annotate})
        for config in _FAMILIES[family](dtypes)
        if _shape(config) in shapes
    ]
    return BackendConfig(quantizer.name).set_backend_pattern_configs(configs)


@functools.cache
def _preset(name: str) -> BackendConfig:
    """A backend's own config, which FX graph mode only reads; made twice in every case it takes 1 % of a run."""
    function = f"get_{name}_backend_config"
    # That of x86 is in its own module alone.
    make: Callable[[], BackendConfig] = getattr(x86 if hasattr(x86, function) else backends, function)
    return make()


def _declared(spec: TensorSpec | None, quantizer: QuantizerSpec) -> Any:
    if spec is None:
        return torch.ao.quantization.NoopObserver
    return constructor(spec, quantizer.mode_of(spec), torch.ao.quantization, dtype=DTYPES[spec.dtype], ranged=True)


def _dtype_config(quantizer: QuantizerSpec) -> DTypeConfig:
    activation = DTYPES[quantizer.activation.dtype] if quantizer.activation else torch.float
    dynamic = quantizer.is_dynamic
    weight = DTYPES[quantizer.weight.dtype] if quantizer.weight else torch.float
    return DTypeConfig(
        input_dtype=activation,
        # What is quantized as it comes is computed in integers and leaves as float.
        output_dtype=torch.float if dynamic else activation,
        weight_dtype=weight,
        bias_dtype=torch.float,
        is_dynamic=dynamic,
    )


def _shape(config: BackendPatternConfig) -> tuple[bool, bool]:
    """Whether a backend pattern has a batch norm and a ReLU in it; fused modules tell by their names."""
    text = str(config.pattern).lower()
    return "bn" in text or "batchnorm" in text, "relu" in text


def _shapes(name: str) -> set[tuple[bool, bool]]:
    """The shapes that FX needs for a declared chain: its own, and what is left once batch norm is folded.

    convert_weighted_module looks a trained conv-bn up as the float convolution that it
    becomes, and leaves the weight in float where the backend config does not list that. So
    FX quantizes plain convolutions too where only conv-bn is declared.
    """
    parts = name.split("_")
    relu = "relu" in parts
    return {("bn" in parts, relu), (False, relu), (False, False)}
