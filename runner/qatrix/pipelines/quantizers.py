"""The quantizers of PT2E presets: found, made, configured; those of unknown code may do no more than they should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import fx, nn

from qatrix.declare.spec import Pt2ePreset, QuantizerSpec
from qatrix.expressions import Value
from qatrix.outcomes import Origin
from qatrix.pipelines.own_code import origin_of, own_attribute, own_module
from qatrix.pipelines.parts import settings
from qatrix.pipelines.torchenv import Pt2eApi

# How a quantizer is told what to do with a class of modules and with one module, where nothing else is known of it.
_BY_TYPE: Final = "set_module_type"
_BY_NAME: Final = "set_module_name"
# What these are called in messages.
_WORD: Final = "quantizer"
# What is set where there is nothing to set.
_NOTHING: Final = object()


class QuantizerFault(Exception):
    """A quantizer of unknown code does what none may do; the message says what, and what was expected."""


def made_quantizer(preset: Pt2ePreset, api: Pt2eApi, skip_modules: tuple[str, ...]) -> Any:
    """The quantizer of a preset, configured by part and as a whole, told which classes of `torch.nn` to leave alone.

    Raises PackageMissing where this environment has no such class, QuantizerFault and whatever
    unknown code raises.
    """
    quantizer = _built_in(preset, api) if preset.built_in is not None else _own(preset, api)
    for part in preset.types:
        _set_type(preset, quantizer, part.name, _part_configuration(preset, api, part.setting), key="types")
    for name in skip_modules:
        _set_type(preset, quantizer, name, None, key="skip_modules")
    for path, setting in settings(preset.modules).items():
        _set_module(preset, quantizer, path, _part_configuration(preset, api, setting))
    config = _configuration(preset, api, preset.config)
    if config is not _NOTHING:
        # By convention it returns the quantizer; what an own one returns is its own.
        _method(preset, quantizer, "set_global", "config_from")(config)
    return _Guarded(quantizer, preset.quantizer) if preset.runs_own_code else quantizer


def require_built_in(quantizer: QuantizerSpec, api: Pt2eApi) -> None:
    """Import the modules of built-in classes; raises PackageMissing where this environment has no such class."""
    for preset in quantizer.presets:
        if preset.built_in is not None:
            api.quantizer_module(preset.built_in)


def origins(quantizer: QuantizerSpec, api: Pt2eApi) -> tuple[Origin, ...]:
    """Whose classes the presets name, as far as they can be imported."""
    found = (_origin(preset, api) for preset in quantizer.presets)
    return tuple(origin for origin in found if origin is not None)


def configurations(preset: Pt2ePreset, api: Pt2eApi) -> tuple[Any, ...]:
    """What a built-in quantizer is configured by, as a whole and by part; none where it takes no configuration."""
    parts = (part.setting for part in (*preset.modules, *preset.types) if part.setting is not None)
    made = (_configuration(preset, api, config) for config in (preset.config, *parts))
    return tuple(config for config in made if config is not _NOTHING)


def _set_type(preset: Pt2ePreset, quantizer: Any, name: str, config: Any, *, key: str) -> None:
    known = preset.built_in
    by_type = None if known is None else known.by_type
    _method(preset, quantizer, by_type or _BY_TYPE, key)(getattr(nn, name), config)


def _set_module(preset: Pt2ePreset, quantizer: Any, path: str, config: Any) -> None:
    known = preset.built_in
    if config is None and known is not None and known.names is not None:
        getattr(quantizer, known.names)[path] = None
        return
    by_name = None if known is None else known.by_name
    _method(preset, quantizer, by_name or _BY_NAME, "modules")(path, config)


def _part_configuration(preset: Pt2ePreset, api: Pt2eApi, setting: Mapping[str, Value] | None) -> Any:
    return None if setting is None else _configuration(preset, api, setting)


def _built_in(preset: Pt2ePreset, api: Pt2eApi) -> Any:
    known = preset.built_in
    assert known is not None
    return getattr(api.quantizer_module(known), known.class_name)()


def _own(preset: Pt2ePreset, api: Pt2eApi) -> Any:
    make, base = own_attribute(preset.place, preset.registration, _WORD), api.find("Quantizer")
    direct = preset.config_from is None
    made = _called(make, preset.quantizer, dict(preset.config) if direct else {})
    if not isinstance(made, base):
        kind = f"{base.__module__}.{base.__qualname__}"
        msg = f"{preset.quantizer} made {_kind(made)}; expected a quantizer that derives from {kind}"
        raise QuantizerFault(msg)
    return made


def _configuration(preset: Pt2ePreset, api: Pt2eApi, config: Mapping[str, Value]) -> Any:
    """What the configuration function makes of its arguments, `_NOTHING` where there is none."""
    arguments = dict(config)
    if preset.config_from is not None:
        module, _, attribute = preset.config_from.rpartition(".")
        return _called(getattr(own_module(module), attribute), preset.config_from, arguments)
    known = preset.built_in
    if known is None or known.configuration is None:
        return _NOTHING
    return getattr(api.quantizer_module(known), known.configuration)(**arguments)


def _called(function: Any, path: str, arguments: dict[str, Any]) -> Any:
    """What a function of unknown code returns; raises QuantizerFault where it does not take the arguments."""
    try:
        return function(**arguments)
    except TypeError as error:
        # One that it raises itself has more frames than the call.
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise
        names = ", ".join(arguments) or "no arguments"
        msg = f"{path} cannot be called with {names}: {error}; expected what `config` names"
        raise QuantizerFault(msg) from error


def _method(preset: Pt2ePreset, quantizer: Any, name: str, key: str) -> Any:
    found = getattr(quantizer, name, None)
    if not callable(found):
        msg = f"{preset.quantizer} has no method {name}; expected one, because '{key}' is declared"
        raise QuantizerFault(msg)
    return found


def _kind(made: object) -> str:
    return "nothing" if made is None else f"an object of {type(made).__module__}.{type(made).__qualname__}"


@dataclass(frozen=True)
class _Guarded:
    """A quantizer of unknown code, with the methods that prepare_pt2e calls; raises QuantizerFault."""

    quantizer: Any
    path: str

    def transform_for_annotation(self, model: fx.GraphModule) -> fx.GraphModule:
        """The transformed program, which PT2E goes on with."""
        found = self.quantizer.transform_for_annotation(model)
        if not isinstance(found, fx.GraphModule):
            msg = f"transform_for_annotation of {self.path} returned {_kind(found)}; expected the torch.fx.GraphModule"
            raise QuantizerFault(msg)
        return found

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """The same program, whose nodes now say how they are quantized; what the method returns PT2E ignores."""
        before = _computed(model)
        self.quantizer.annotate(model)
        if _computed(model) != before:
            msg = f"annotate of {self.path} changed the graph; expected that in transform_for_annotation alone"
            raise QuantizerFault(msg)
        return model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.quantizer, name)


def _computed(model: fx.GraphModule) -> list[tuple[Any, ...]]:
    """What a program computes: annotations are no part of it."""
    return [(node, node.op, node.target, node.args, node.kwargs) for node in model.graph.nodes]


def _origin(preset: Pt2ePreset, api: Pt2eApi) -> Origin | None:
    known = preset.built_in
    try:
        if known is None:
            found = own_attribute(preset.place, preset.registration, _WORD)
        else:
            found = getattr(api.quantizer_module(known), known.class_name)
        return origin_of(found, preset.registration)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a module can raise anything; the case's own outcome says what
        return None
