"""Quantizers: presets, declared tensor specs, or phases of other quantizers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qatrix.declare.language.text import listed
from qatrix.declare.load.composition import read_composition
from qatrix.declare.load.ops import read_ops
from qatrix.declare.load.parts import check_type
from qatrix.declare.load.presets import read_fx, read_pt2e
from qatrix.declare.load.registry import Declared, Registry
from qatrix.declare.load.specs import read_derived, read_tensor
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import (
    Composition,
    ConvertSpec,
    FxPreset,
    Mode,
    PhaseSpec,
    Pt2ePreset,
    QuantizerSpec,
    TensorSpec,
)
from qatrix.declare.trust import Trust

_SHAPES: Final = "presets (pt2e, fx), or declared specs (annotate or ops, activation, weight), or phases"
_DECLARED_KEYS: Final = ("annotate", "ops", "activation", "weight", "bias", "shared")


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
    fx = None if model.fx is None else read_fx(registry, cursor.down("fx"), model.fx, mode)
    if (model.annotate or model.ops) and model.pt2e is None:
        _check_declared(registry, cursor, model)
    return _spec(registry, declared, model, mode, pt2e=pt2e, fx=fx)


def _spec(
    registry: Registry,
    declared: Declared,
    model: models.Quantizer,
    mode: Mode,
    *,
    pt2e: Pt2ePreset | Composition | None = None,
    fx: FxPreset | None = None,
    phases: tuple[PhaseSpec, ...] = (),
) -> QuantizerSpec:
    cursor = declared.cursor

    def tensor(key: str, spec: models.TensorSpec | None) -> TensorSpec | None:
        if spec is None:
            return None
        return read_tensor(registry, cursor.down(key), spec, mode, of_activations=key == "activation")

    bias = model.bias if isinstance(model.bias, models.DerivedSpec) else None
    return QuantizerSpec(
        name=declared.name,
        about=model.about,
        mode=mode,
        pt2e=pt2e,
        fx=fx,
        annotate=tuple(model.annotate),
        activation=tensor("activation", model.activation),
        weight=tensor("weight", model.weight),
        bias=None if bias is None else read_derived(registry, cursor.down("bias"), bias),
        shared=tuple(model.shared),
        phases=phases,
        source=cursor.source,
        ops=read_ops(registry, cursor, model, mode),
        convert=ConvertSpec() if model.convert is None else ConvertSpec(**model.convert.model_dump()),
    )


def _check_shape(registry: Registry, cursor: Cursor, model: models.Quantizer) -> None:
    """A quantizer is either a preset or declared."""
    preset = model.pt2e is not None or model.fx is not None
    declared = [key for key in _DECLARED_KEYS if cursor.has(key)]
    if not preset and not declared:
        registry.note(cursor.problem("the quantizer says nothing about how it quantizes", expected=_SHAPES))
    elif model.pt2e is not None and declared:
        at = cursor.key(declared[0])
        registry.note(at.problem(f"'{declared[0]}' stands beside a preset of PT2E", expected=_SHAPES))
    elif declared and not model.annotate and not model.ops:
        expected = "annotate: the op chains to quantize, such as [conv_bn, linear]; or ops"
        registry.note(cursor.problem("the key 'annotate' is missing", expected=expected))
    if model.convert is not None and model.fx is not None and model.pt2e is None and not declared:
        message = "'convert' stands in a quantizer without PT2E, and FX graph mode has no such options"
        registry.note(cursor.key("convert").problem(message, expected="pt2e or annotate beside it, or no convert"))


def _check_declared(registry: Registry, cursor: Cursor, model: models.Quantizer) -> None:
    if model.annotate and model.activation is None and model.weight is None:
        expected = "activation, weight, or both"
        registry.note(cursor.problem("the quantizer quantizes neither activations nor weights", expected=expected))
    for item, name in zip(cursor.items_of("shared"), model.shared):
        if name not in model.annotate:
            registry.note(item.problem(f"'{name}' is shared but not annotated", expected=listed(model.annotate)))
    if isinstance(model.bias, models.DerivedSpec):
        for item, source in zip(cursor.down("bias").items_of("derived_from"), model.bias.derived_from):
            if getattr(model, source) is None:
                message = f"the bias derives from '{source}', which is not quantized"
                registry.note(item.problem(message, expected=f"{source}: a tensor spec"))


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
    return _spec(registry, declared, model, found[-1].quantizer.mode, phases=found)


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
