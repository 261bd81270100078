"""Presets: a quantizer class of PT2E's by name, a backend config of FX graph mode's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.registrations import QUANTIZERS, named, registrations
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import FxPreset, Mode, Pt2ePreset, Registration
from qatrix.declare.trust import CONFIGURATION, Kind, Trust, is_path, quantizer_kind
from qatrix.declare.vocabulary import QCONFIGS
from qatrix.expressions import Value
from qatrix.quantizers import BUILT_IN, BuiltIn

_MODE_FLAGS: Final[Mapping[str, Mode]] = {"is_qat": "qat", "is_dynamic": "dynamic"}
_ONCE: Final = "each name once in a distribution's entry points"


def read_pt2e(
    registry: Registry, cursor: Cursor, model: models.Pt2ePreset, mode: Mode | None, trust: Trust
) -> Pt2ePreset:
    """PT2E's preset; what is wrong with it is noted. No code of what it names is imported."""
    known = BUILT_IN.get(model.quantizer)
    registration = _registration(registry, cursor.down("quantizer"), model.quantizer, trust) if known is None else None
    if model.config_from is not None:
        _allow(registry, cursor.down("config_from"), model.config_from, CONFIGURATION, trust)
    elif known is not None:
        _check_built_in(registry, cursor, model, known, mode)
    return Pt2ePreset(
        quantizer=model.quantizer,
        # One order, so that the same configuration is the same declaration.
        config=model.config if known is None else _in_order(model.config, known.arguments),
        config_from=model.config_from,
        registration=registration,
    )


def _in_order(config: Mapping[str, Value], names: Sequence[str]) -> dict[str, Value]:
    first = {name: config[name] for name in names if name in config}
    return {**first, **config}


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
    """Its configuration has these arguments, which are booleans; those that say the mode say the declared one."""
    config = cursor.down("config")
    for name, value in model.config.items():
        at = config.down(name)
        if name not in known.arguments:
            message = f"{model.quantizer} has no argument '{name}'"
            expected = listed(known.arguments) if known.arguments else "no config"
            registry.note(config.key(name).problem(message, expected=expected, hint=nearest(name, known.arguments)))
        elif not isinstance(value, bool):
            registry.note(at.problem(f"{name} is {at.found()}", expected="true or false"))
    if mode is None:
        return
    if mode not in known.claims:
        message = f"{model.quantizer} does not quantize in mode {mode}"
        registry.note(cursor.down("quantizer").problem(message, expected=f"mode: {' or '.join(known.claims)}"))
        return
    for flag, its_mode in _MODE_FLAGS.items():
        value = model.config.get(flag, False)
        if flag in known.arguments and isinstance(value, bool) and value != (mode == its_mode):
            message = f"mode is {mode}, but {flag} is {str(value).lower()}"
            expected = f"{flag}: true with mode {its_mode}, and only then"
            registry.note(cursor.down("config", flag).problem(message, expected=expected))


def read_fx(registry: Registry, cursor: Cursor, preset: models.FxPreset) -> FxPreset:
    """FX graph mode's preset: one qconfig by name, or the mapping of a backend; what is wrong with it is noted."""
    name = preset.qconfig
    if (name is None) == (preset.qconfig_mapping is None):
        both = "qconfig stands beside qconfig_mapping"
        message = "neither qconfig nor qconfig_mapping is there" if name is None else both
        registry.note(cursor.problem(message, expected="qconfig, or qconfig_mapping"))
    elif name is not None and name not in QCONFIGS:
        at = cursor.down("qconfig")
        registry.note(at.problem(f"unknown qconfig '{name}'", expected=listed(QCONFIGS), hint=nearest(name, QCONFIGS)))
    return FxPreset(**preset.model_dump())
