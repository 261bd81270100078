"""The quantizers of PT2E presets: found, made, configured; those of unknown code may do no more than they should."""

from __future__ import annotations

import contextlib
import importlib.metadata
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from torch import fx, nn

from qatrix.declare.spec import Pt2ePreset, QuantizerSpec
from qatrix.outcomes import QuantizerOrigin
from qatrix.pipelines.own_code import own_module
from qatrix.pipelines.torchenv import PackageMissing, Pt2eApi
from qatrix.text import told

# What PT2E is told to leave alone by, where nothing else is known of a quantizer.
_SKIP: Final = "set_module_type"
# What is set where there is nothing to set.
_NOTHING: Final = object()


class QuantizerFault(Exception):
    """A quantizer of unknown code does what none may do; the message says what, and what was expected."""


def made_quantizer(preset: Pt2ePreset, api: Pt2eApi, skip_modules: tuple[str, ...]) -> Any:
    """The quantizer of a preset, configured, told which classes of `torch.nn` to leave alone.

    Raises PackageMissing where this environment has no such class, QuantizerFault and whatever
    unknown code raises.
    """
    quantizer = _built_in(preset, api) if preset.built_in is not None else _own(preset, api)
    skip = _SKIP if preset.built_in is None else preset.built_in.skip
    for name in skip_modules:
        _method(preset, quantizer, skip or _SKIP, "skip_modules")(getattr(nn, name), None)
    config = _configuration(preset, api)
    if config is not _NOTHING:
        # By convention it returns the quantizer; what an own one returns is its own.
        _method(preset, quantizer, "set_global", "config_from")(config)
    return _Guarded(quantizer, preset.quantizer) if preset.runs_own_code else quantizer


def require_built_in(quantizer: QuantizerSpec, api: Pt2eApi) -> None:
    """Import the modules of built-in classes; raises PackageMissing where this environment has no such class."""
    for preset in _presets(quantizer):
        if preset.built_in is not None:
            api.quantizer_module(preset.built_in)


def origins(quantizer: QuantizerSpec, api: Pt2eApi) -> tuple[QuantizerOrigin, ...]:
    """Whose classes the presets name, as far as they can be imported."""
    found = (_origin(preset, api) for preset in _presets(quantizer))
    return tuple(origin for origin in found if origin is not None)


def _presets(quantizer: QuantizerSpec) -> Iterator[Pt2ePreset]:
    return (item.pt2e for item in quantizer.rounds if item.pt2e is not None)


def _built_in(preset: Pt2ePreset, api: Pt2eApi) -> Any:
    known = preset.built_in
    assert known is not None
    return getattr(api.quantizer_module(known), known.class_name)()


def _own(preset: Pt2ePreset, api: Pt2eApi) -> Any:
    make, base = _attribute(preset), api.find("Quantizer")
    direct = preset.config_from is None
    made = _called(make, preset.quantizer, dict(preset.config) if direct else {})
    if not isinstance(made, base):
        kind = f"{base.__module__}.{base.__qualname__}"
        msg = f"{preset.quantizer} made {_kind(made)}; expected a quantizer that derives from {kind}"
        raise QuantizerFault(msg)
    return made


def _attribute(preset: Pt2ePreset) -> Any:
    """The class or function that a preset names. Raises PackageMissing where a registered one cannot be imported."""
    module, attribute = preset.place
    if preset.registration is None:
        return operator.attrgetter(attribute)(own_module(module))
    try:
        return operator.attrgetter(attribute)(own_module(module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        whose = f"{preset.registration.distribution} {preset.registration.version}"
        msg = f"{module}:{attribute}, which {whose} registers as a quantizer, cannot be imported ({told(error)})"
        raise PackageMissing(msg) from error


def _configuration(preset: Pt2ePreset, api: Pt2eApi) -> Any:
    """What goes to `set_global`, `_NOTHING` where nothing does."""
    arguments = dict(preset.config)
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


def _origin(preset: Pt2ePreset, api: Pt2eApi) -> QuantizerOrigin | None:
    known = preset.built_in
    try:
        found = _attribute(preset) if known is None else getattr(api.quantizer_module(known), known.class_name)
        module, name = str(found.__module__), str(found.__qualname__)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - a module can raise anything; the case's own outcome says what
        return None
    if preset.registration is not None:
        whose, version = preset.registration.distribution, preset.registration.version
        return QuantizerOrigin(name=name, module=module, distribution=whose, version=version)
    return QuantizerOrigin(name=name, module=module, **_distribution(module.partition(".")[0]))


def _distribution(package: str) -> dict[str, str | None]:
    """The distribution that a package comes from, and its version."""
    for name in (package, *importlib.metadata.packages_distributions().get(package, ())):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return {"distribution": name, "version": importlib.metadata.version(name)}
    return {"distribution": None, "version": None}
