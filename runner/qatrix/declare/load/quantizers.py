"""Quantizers: presets, declared tensor specs, or phases of other quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qatrix.declare.language.text import listed
from qatrix.declare.load.composition import read_composition
from qatrix.declare.load.parts import check_type
from qatrix.declare.load.presets import read_fx, read_pt2e
from qatrix.declare.load.registry import Declared, Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import (
    Composition,
    ConvertSpec,
    DerivedSpec,
    FxPreset,
    Mode,
    PhaseSpec,
    Pt2ePreset,
    QuantizerSpec,
    TensorSpec,
)
from qatrix.declare.trust import Trust
from qatrix.declare.vocabulary import INTEGER_RANGES

_SHAPES: Final = "presets (pt2e, fx), or declared specs (annotate, activation, weight), or phases"
_DECLARED_KEYS: Final = ("annotate", "activation", "weight", "bias", "shared")


def read_quantizers(registry: Registry, *, trust: Trust) -> dict[str, QuantizerSpec]:
    """Quantizers by name; those with a problem may be left out."""
    found = list(registry.read("quantizers", models.Quantizer))
    whole = [(declared, model) for declared, model in found if not model.phases]
    single = {item.name: _plain(registry, item, model, trust, {}) for item, model in whole if not _composes(model)}
    plain = single | {
        item.name: _plain(registry, item, model, trust, single) for item, model in whole if _composes(model)
    }
    phased = {
        declared.name: spec
        for declared, model in found
        if model.phases and (spec := _phased(registry, declared, model, plain)) is not None
    }
    both = plain | phased
    return {declared.name: both[declared.name] for declared, _ in found if declared.name in both}


def _composes(model: models.Quantizer) -> bool:
    return model.pt2e is not None and bool(model.pt2e.compose)


def _plain(
    registry: Registry,
    declared: Declared,
    model: models.Quantizer,
    trust: Trust,
    single: Mapping[str, QuantizerSpec],
) -> QuantizerSpec:
    cursor = declared.cursor
    _check_shape(registry, cursor, model)
    if model.mode is None:
        registry.note(cursor.problem("the key 'mode' is missing", expected="mode: qat, ptq or dynamic"))
    mode: Mode = model.mode or "ptq"
    pt2e: Pt2ePreset | Composition | None = None
    if model.pt2e is not None and model.pt2e.compose:
        pt2e = read_composition(registry, cursor.down("pt2e"), model.pt2e, model.mode, single)
    elif model.pt2e is not None:
        pt2e = read_pt2e(registry, cursor.down("pt2e"), model.pt2e, model.mode, trust)
    fx = None if model.fx is None else read_fx(registry, cursor.down("fx"), model.fx)
    for key, spec in (("activation", model.activation), ("weight", model.weight), ("bias", model.bias)):
        if isinstance(spec, (models.TensorSpec, models.DerivedSpec)):
            _check_range(registry, cursor.down(key), spec)
    if model.annotate and model.pt2e is None and model.fx is None:
        _check_declared(registry, cursor, model, mode)
    return _spec(declared, model, mode, pt2e=pt2e, fx=fx)


def _spec(
    declared: Declared,
    model: models.Quantizer,
    mode: Mode,
    *,
    pt2e: Pt2ePreset | Composition | None = None,
    fx: FxPreset | None = None,
    phases: tuple[PhaseSpec, ...] = (),
) -> QuantizerSpec:
    cursor = declared.cursor
    return QuantizerSpec(
        name=declared.name,
        about=model.about,
        mode=mode,
        pt2e=pt2e,
        fx=fx,
        annotate=tuple(model.annotate),
        activation=_tensor(model.activation, cursor.down("activation")),
        weight=_tensor(model.weight, cursor.down("weight")),
        bias=_derived(model.bias, cursor.down("bias")),
        shared=tuple(model.shared),
        phases=phases,
        source=cursor.source,
        convert=ConvertSpec() if model.convert is None else ConvertSpec(**model.convert.model_dump()),
    )


def _tensor(spec: models.TensorSpec | None, cursor: Cursor) -> TensorSpec | None:
    return None if spec is None else TensorSpec(**spec.model_dump(), source=cursor.source)


def _derived(bias: models.DerivedSpec | str, cursor: Cursor) -> DerivedSpec | None:
    if isinstance(bias, str):
        return None
    values = bias.model_dump() | {"derived_from": tuple(bias.derived_from)}
    return DerivedSpec(**values, source=cursor.source)


def _check_shape(registry: Registry, cursor: Cursor, model: models.Quantizer) -> None:
    """A quantizer is either a preset or declared."""
    preset = model.pt2e is not None or model.fx is not None
    declared = [key for key in _DECLARED_KEYS if cursor.has(key)]
    if not preset and not declared:
        registry.note(cursor.problem("the quantizer says nothing about how it quantizes", expected=_SHAPES))
    elif preset and declared:
        at = cursor.key(declared[0])
        registry.note(at.problem(f"'{declared[0]}' stands beside a preset", expected=_SHAPES))
    elif not preset and not model.annotate:
        expected = "annotate: the op chains to quantize, such as [conv_bn, linear]"
        registry.note(cursor.problem("the key 'annotate' is missing", expected=expected))
    if model.convert is not None and model.fx is not None and model.pt2e is None and not declared:
        message = "'convert' stands in a quantizer without PT2E, and FX graph mode has no such options"
        registry.note(cursor.key("convert").problem(message, expected="pt2e or annotate beside it, or no convert"))


def _check_declared(registry: Registry, cursor: Cursor, model: models.Quantizer, mode: Mode) -> None:
    if model.activation is None and model.weight is None:
        expected = "activation, weight, or both"
        registry.note(cursor.problem("the quantizer quantizes neither activations nor weights", expected=expected))
    for item, name in zip(cursor.items_of("shared"), model.shared):
        if name not in model.annotate:
            registry.note(item.problem(f"'{name}' is shared but not annotated", expected=listed(model.annotate)))
    for key, spec in (("activation", model.activation), ("weight", model.weight)):
        if spec is not None:
            _check_fixed(registry, cursor.down(key), spec, mode)
        if spec is not None and spec.fake_quantize is not None and mode != "qat":
            at = cursor.down(key).key("fake_quantize")
            registry.note(at.problem(f"fake_quantize stands in mode {mode}", expected="mode: qat, or no fake_quantize"))
    if isinstance(model.bias, models.DerivedSpec):
        for item, source in zip(cursor.down("bias").items_of("derived_from"), model.bias.derived_from):
            if getattr(model, source) is None:
                message = f"the bias derives from '{source}', which is not quantized"
                registry.note(item.problem(message, expected=f"{source}: a tensor spec"))


def _check_fixed(registry: Registry, cursor: Cursor, spec: models.TensorSpec, mode: Mode) -> None:
    """A fixed scale stands alone: nothing is observed, and there is one for the whole tensor."""
    if spec.scale is None:
        if spec.zero_point is not None:
            at = cursor.key("zero_point")
            registry.note(at.problem("zero_point stands without scale", expected="scale: the fixed scale"))
        return
    for name in ("observer", "fake_quantize", "eps"):
        if getattr(spec, name) is not None:
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


def _phased(
    registry: Registry, declared: Declared, model: models.Quantizer, plain: Mapping[str, QuantizerSpec]
) -> QuantizerSpec | None:
    cursor = declared.cursor
    for key in ("mode", "pt2e", "fx", "convert", *_DECLARED_KEYS):
        if cursor.has(key):
            expected = "the phases' quantizers say it"
            registry.note(cursor.key(key).problem(f"'{key}' stands beside 'phases'", expected=expected))
    items = zip(cursor.items_of("phases"), model.phases)
    phases = [_phase(registry, at, phase, plain) for at, phase in items]
    found = tuple(phase for phase in phases if phase is not None)
    if len(found) < len(phases):
        return None
    return _spec(declared, model, found[-1].quantizer.mode, phases=found)


def _phase(
    registry: Registry, cursor: Cursor, model: models.Phase, plain: Mapping[str, QuantizerSpec]
) -> PhaseSpec | None:
    at = cursor.down("quantizer")
    presets = plain[model.quantizer].presets if model.quantizer in plain else ()
    for item, name in zip(cursor.items_of("skip_modules"), model.skip_modules):
        check_type(registry, item, name, *(preset.built_in for preset in presets))
    if not registry.knows("quantizers", model.quantizer, at):
        return None
    if model.quantizer not in plain:
        if _has_phases(registry, model.quantizer):
            message = f"quantizer '{model.quantizer}' has phases of its own"
            registry.note(at.problem(message, expected="a quantizer without phases"))
        return None
    if model.submodules and _has_modules(plain[model.quantizer]):
        message = f"quantizer '{model.quantizer}' has modules, whose paths are those in the whole model"
        registry.note(at.problem(message, expected="a phase without submodules, or a quantizer without modules"))
    return PhaseSpec(
        quantizer=plain[model.quantizer],
        submodules=tuple(model.submodules),
        dynamic_batch=model.dynamic_batch,
        skip_modules=tuple(model.skip_modules),
        source=cursor.source,
    )


def _has_modules(quantizer: QuantizerSpec) -> bool:
    return any(preset.modules for preset in (*quantizer.presets, *(() if quantizer.fx is None else (quantizer.fx,))))


def _has_phases(registry: Registry, name: str) -> bool:
    return any(declared.cursor.has("phases") for declared in registry.declared("quantizers") if declared.name == name)
