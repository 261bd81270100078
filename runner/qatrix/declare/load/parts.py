"""Parts of a model that a preset treats unlike the rest: modules by globs over their paths, classes of `torch.nn`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qatrix.declare.globs import compiled_name
from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.qconfigs import read_part
from qatrix.declare.load.registry import Registry
from qatrix.declare.schema import Cursor, models
from qatrix.declare.spec import Mode, Part, QConfigSpec
from qatrix.declare.vocabulary import LAYERS
from qatrix.errors import UsageError
from qatrix.expressions import Value
from qatrix.quantizers import BUILT_IN, BuiltIn

# A name that ends in Nd stands for a class only where a case has a dim.
_TYPES: Final = frozenset(name for name in LAYERS if not name.endswith("Nd"))
_DYNAMIC: Final = "is_dynamic"
_MODE_FLAGS: Final[Mapping[str, tuple[Mode, str]]] = {
    "is_qat": ("qat", "is_qat: true with mode qat, and only then"),
    _DYNAMIC: ("dynamic", "is_dynamic: true with mode dynamic, or with mode qat, and only then"),
}


def read_modules(
    registry: Registry, cursor: Cursor, model: models.Pt2ePreset, mode: Mode | None
) -> tuple[Part[Mapping[str, Value]], ...]:
    """The modules that PT2E's preset treats unlike the rest; what is wrong with them is noted."""
    known = BUILT_IN.get(model.quantizer or "")
    if model.modules and known is not None and known.by_name is None:
        message = f"{model.quantizer} has no way to treat one module unlike the rest"
        registry.note(cursor.key("modules").problem(message, expected="no modules"))
    _check_globs(registry, cursor)
    _check_configs(registry, cursor.down("modules"), model, model.modules, mode)
    return _parts(model.modules, known)


def read_types(
    registry: Registry, cursor: Cursor, model: models.Pt2ePreset, mode: Mode | None
) -> tuple[Part[Mapping[str, Value]], ...]:
    """The classes of modules that PT2E's preset treats unlike the rest; what is wrong with them is noted."""
    known = BUILT_IN.get(model.quantizer or "")
    if model.types and known is not None and known.by_type is None:
        message = f"{model.quantizer} has no way to treat one class of modules unlike the rest"
        registry.note(cursor.key("types").problem(message, expected="no types"))
    for name, _ in cursor.members_of("types"):
        check_type(registry, cursor.down("types").key(name), name, known)
    _check_configs(registry, cursor.down("types"), model, model.types, mode)
    return _parts(model.types, known)


def read_fx_modules(
    registry: Registry, cursor: Cursor, model: models.FxPreset, mode: Mode
) -> tuple[Part[str | QConfigSpec], ...]:
    """The modules that FX graph mode's preset treats unlike the rest; what is wrong with them is noted."""
    _check_globs(registry, cursor)
    return _fx_parts(registry, cursor.down("modules"), model.modules, mode)


def read_fx_types(
    registry: Registry, cursor: Cursor, model: models.FxPreset, mode: Mode
) -> tuple[Part[str | QConfigSpec], ...]:
    """The classes of modules that FX graph mode's preset treats unlike the rest; what is wrong with them is noted."""
    for name, _ in cursor.members_of("types"):
        check_type(registry, cursor.down("types").key(name), name)
    return _fx_parts(registry, cursor.down("types"), model.types, mode)


def check_type(registry: Registry, at: Cursor, name: str, *quantizers: BuiltIn | None) -> None:
    """Note a name that is no class of `torch.nn`, or none that one of the built-in quantizers knows."""
    if name not in _TYPES:
        expected = "a class of torch.nn, such as Linear or Conv2d"
        registry.note(at.problem(f"unknown module '{name}'", expected=expected, hint=nearest(name, _TYPES)))
        return
    for known in quantizers:
        if known is not None and known.types is not None and name not in known.types:
            message = f"{known.class_name} cannot treat {name} unlike the rest: it warns, and does nothing"
            registry.note(at.problem(message, expected=listed(known.types)))


def check_config(
    registry: Registry,
    config: Cursor,
    given: Mapping[str, Value],
    quantizer: str,
    known: BuiltIn,
    mode: Mode | None,
) -> None:
    """A built-in's configuration has these arguments, booleans all; those that say the mode say the declared one."""
    for name, value in given.items():
        at = config.down(name)
        if name not in known.arguments:
            message = f"{quantizer} has no argument '{name}'"
            expected = listed(known.arguments) if known.arguments else "no config"
            registry.note(config.key(name).problem(message, expected=expected, hint=nearest(name, known.arguments)))
        elif not isinstance(value, bool):
            registry.note(at.problem(f"{name} is {at.found()}", expected="true or false"))
    for flag, (its_mode, expected) in _MODE_FLAGS.items():
        value = given.get(flag, False)
        # What is trained may be quantized as it comes.
        if mode not in known.claims or flag not in known.arguments or (flag == _DYNAMIC and mode == "qat"):
            continue
        if isinstance(value, bool) and value != (mode == its_mode):
            message = f"mode is {mode}, but {flag} is {str(value).lower()}"
            registry.note(config.down(flag).problem(message, expected=expected))


def in_order(config: Mapping[str, Value], known: BuiltIn | None) -> dict[str, Value]:
    """Arguments in one order, so that the same configuration is the same declaration."""
    first = {name: config[name] for name in known.arguments if name in config} if known is not None else {}
    return {**first, **config}


def _check_globs(registry: Registry, cursor: Cursor) -> None:
    for glob, _ in cursor.members_of("modules"):
        fault = _fault_of(glob)
        if fault is not None:
            registry.note(cursor.down("modules").key(glob).problem(fault))


def _fault_of(glob: str) -> str | None:
    try:
        compiled_name(glob)
    except UsageError as error:
        return str(error)
    return None


def _check_configs(
    registry: Registry,
    cursor: Cursor,
    model: models.Pt2ePreset,
    parts: Mapping[str, str | dict[str, Value]],
    mode: Mode | None,
) -> None:
    known = BUILT_IN.get(model.quantizer or "")
    for name, setting in parts.items():
        if not isinstance(setting, dict) or model.config_from is not None:
            continue
        at = cursor.down(name)
        if known is not None:
            check_config(registry, at, setting, model.quantizer or "", known, mode)
        else:
            message = f"nothing makes a configuration for '{name}' of its arguments"
            registry.note(at.problem(message, expected="config_from: the function that does, or float"))


def _parts(
    declared: Mapping[str, str | dict[str, Value]], known: BuiltIn | None
) -> tuple[Part[Mapping[str, Value]], ...]:
    return tuple(
        Part(name=name, setting=in_order(setting, known) if isinstance(setting, dict) else None)
        for name, setting in declared.items()
    )


def _fx_parts(
    registry: Registry, cursor: Cursor, declared: Mapping[str, str | models.QConfigSpecs], mode: Mode
) -> tuple[Part[str | QConfigSpec], ...]:
    return tuple(
        Part(name=name, setting=read_part(registry, cursor.down(name), qconfig, mode))
        for name, qconfig in declared.items()
    )
