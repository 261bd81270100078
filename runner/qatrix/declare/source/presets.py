"""Quantizers that there are already, as source."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qatrix.declare.source.text import argument_texts, call_text
from qatrix.declare.spec import FxPreset, Pt2ePreset
from qatrix.scripts import OWN_PACKAGE, QuantizerSource, literal

# As pipelines.quantizers tells one of which nothing else is known.
_SKIP: Final = "set_module_type"
_EXTRA: Final = 'pip install "qatrix[{package}]" brings it'


def pt2e_preset(preset: Pt2ePreset, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """`quantizer`, made of a class of PT2E's or of the user's own; the modules to leave alone are told first."""
    known, chosen = preset.built_in, _configuration(preset)
    if known is not None and known.package is None and chosen is not None and not skip_modules:
        made = call_text(f"{_class(preset)}().set_global", [chosen], prefix="quantizer = ")
        return QuantizerSource(lines=(*_imports(preset), *made.split("\n")), needs=_needs(preset))
    direct = argument_texts(preset.config) if known is None and preset.config_from is None else []
    skip = known.skip if known is not None and known.skip is not None else _SKIP
    lines = [
        *_imports(preset),
        *call_text(_class(preset), direct, prefix="quantizer = ").split("\n"),
        *(f"quantizer.{skip}(nn.{name}, None)" for name in skip_modules),
        *([] if chosen is None else call_text("quantizer.set_global", [chosen]).split("\n")),
    ]
    return QuantizerSource(lines=tuple(lines), needs=_needs(preset))


def _class(preset: Pt2ePreset) -> str:
    """The class or function that makes the quantizer: PyTorch's by its own name, any other by its whole one."""
    known = preset.built_in
    if known is None:
        return ".".join(preset.place)
    return known.class_name if known.package is None else f"{_module(preset)}.{known.class_name}"


def _configuration(preset: Pt2ePreset) -> str | None:
    """What goes to `set_global`, None where nothing does."""
    known = preset.built_in
    function = preset.config_from or (known.configuration if known is not None else None)
    if function is None:
        return None
    if preset.config_from is None and known is not None and known.package is not None:
        function = f"{_module(preset)}.{function}"
    return f"{function}({', '.join(argument_texts(preset.config))})"


def _imports(preset: Pt2ePreset) -> list[str]:
    return [f"import {name}" for name in dict.fromkeys(_modules(preset))]


def _modules(preset: Pt2ePreset) -> Iterator[str]:
    """The modules of what is called by its whole name."""
    if (module := _module(preset)) is not None:
        yield module
    if preset.config_from is not None:
        yield preset.config_from.rpartition(".")[0]


def _module(preset: Pt2ePreset) -> str | None:
    known = preset.built_in
    if known is None:
        return preset.place[0]
    # Packages beside PyTorch's have their classes in one place.
    return None if known.package is None else next(iter(known.modules.values()))


def _needs(preset: Pt2ePreset) -> str | None:
    """The package beside PyTorch's that the lines import, and how to come by it; None where they import none."""
    if preset.built_in is not None and preset.built_in.package is not None:
        package = preset.built_in.package
        return f"{package}: {_EXTRA.format(package=package)}"
    if preset.registration is not None:
        package = preset.registration.module.partition(".")[0]
        return f"{package}: it comes with {preset.registration.distribution} {preset.registration.version}"
    own = next(_modules(preset), None)
    return None if own is None else f"{own.partition('.')[0]}: {OWN_PACKAGE}"


def fx_preset(preset: FxPreset, skip_modules: tuple[str, ...], *, trains: bool) -> QuantizerSource:
    """`qconfigs` and `backend_config`, made of what FX graph mode has by name."""
    if preset.qconfig is not None:
        mapping = f"QConfigMapping().set_global({preset.qconfig})"
    else:
        mapping = f"get_default_{'qat_' if trains else ''}qconfig_mapping({literal(preset.qconfig_mapping)})"
    return QuantizerSource(
        lines=(
            f"qconfigs = {mapping}{skipping(skip_modules)}",
            f"backend_config = get_{preset.backend_config}_backend_config()",
        )
    )


def skipping(skip_modules: tuple[str, ...]) -> str:
    """The calls that tell a mapping of qconfigs which modules to leave alone."""
    return "".join(f".set_object_type(nn.{name}, None)" for name in skip_modules)
