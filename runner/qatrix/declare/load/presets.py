"""Presets: a quantizer class of PT2E's by name, a backend config of FX graph mode's."""

from __future__ import annotations

from typing import Final

from qatrix.declare.load.parts import (
    check_config,
    in_order,
    read_fx_modules,
    read_fx_types,
    read_modules,
    read_types,
)
from qatrix.declare.load.qconfigs import read_qconfig
from qatrix.declare.load.registry import Registry
from qatrix.declare.registrations import QUANTIZERS, named, registrations
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import FxPreset, Mode, Pt2ePreset, Registration
from qatrix.declare.trust import CONFIGURATION, Kind, Trust, is_path, quantizer_kind
from qatrix.quantizers import BUILT_IN, BuiltIn

_ONCE: Final = "each name once in a distribution's entry points"


def read_pt2e(
    registry: Registry, cursor: Cursor, model: models.Pt2ePreset, mode: Mode | None, trust: Trust
) -> Pt2ePreset:
    """PT2E's preset; what is wrong with it is noted. No code of what it names is imported."""
    name = model.quantizer or ""
    known = BUILT_IN.get(name)
    registration = None
    if not name:
        expected = "quantizer: a built-in, a registered name or a dotted path that you allow; or compose: [one, other]"
        registry.note(cursor.problem("the key 'quantizer' is missing", expected=expected))
    elif known is None:
        registration = _registration(registry, cursor.down("quantizer"), name, trust)
    if model.config_from is not None:
        _allow(registry, cursor.down("config_from"), model.config_from, CONFIGURATION, trust)
    elif known is not None:
        _check_built_in(registry, cursor, model, known, mode)
    return Pt2ePreset(
        quantizer=name,
        config=in_order(model.config, known),
        config_from=model.config_from,
        registration=registration,
        modules=read_modules(registry, cursor, model, mode),
        types=read_types(registry, cursor, model, mode),
    )


def _registration(registry: Registry, at: Cursor, name: str, trust: Trust) -> Registration | None:
    """What a distribution registers under a name, None where it is the path of something of the user's own."""
    found = named(name, QUANTIZERS)
    if not found:
        _allow(registry, at, name, quantizer_kind(registrations(QUANTIZERS)), trust)
        return None
    if len(found) > 1:
        whose = list(dict.fromkeys(f"{item.distribution} {item.version}" for item in found))
        ways = dict.fromkeys(f"{item.distribution}.{item.name}" for item in found)
        twice = len(whose) == 1
        message = f"the quantizer '{name}' is registered {'twice ' if twice else ''}by {' and '.join(whose)}"
        registry.note(at.problem(message, expected=_ONCE if twice else " or ".join(ways)))
    elif not (is_path(found[0].module) and is_path(found[0].attribute)):
        of = f"{found[0].distribution} {found[0].version}"
        message = f"{of} registers '{name}' as '{found[0].module}:{found[0].attribute}', which names no class"
        registry.note(at.problem(message, expected="module:Class in its entry point"))
    return found[0]


def _allow(registry: Registry, at: Cursor, path: str, kind: Kind, trust: Trust) -> None:
    refused = trust.refusal(path, kind)
    if refused is not None:
        registry.note(at.problem(refused.message, expected=refused.expected, hint=refused.hint))


def _check_built_in(
    registry: Registry, cursor: Cursor, model: models.Pt2ePreset, known: BuiltIn, mode: Mode | None
) -> None:
    """It quantizes in the declared mode, and its configuration is what its function takes."""
    if mode is not None and mode not in known.claims:
        message = f"{model.quantizer} does not quantize in mode {mode}"
        registry.note(cursor.down("quantizer").problem(message, expected=f"mode: {' or '.join(known.claims)}"))
    check_config(registry, cursor.down("config"), model.config, model.quantizer or "", known, mode)


def read_fx(registry: Registry, cursor: Cursor, preset: models.FxPreset, mode: Mode) -> FxPreset:
    """FX graph mode's preset: one qconfig, or the mapping of a backend; what is wrong with it is noted."""
    name = preset.qconfig
    if (name is None) == (preset.qconfig_mapping is None):
        both = "qconfig stands beside qconfig_mapping"
        message = "neither qconfig nor qconfig_mapping is there" if name is None else both
        registry.note(cursor.problem(message, expected="qconfig, or qconfig_mapping"))
    return FxPreset(
        backend_config=preset.backend_config,
        qconfig=None if name is None else read_qconfig(registry, cursor.down("qconfig"), name, mode),
        qconfig_mapping=preset.qconfig_mapping,
        modules=read_fx_modules(registry, cursor, preset, mode),
        types=read_fx_types(registry, cursor, preset, mode),
    )
