"""Quantizers that there are already, as source."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from qatrix.declare.source.parts import fx_parts, pt2e_parts
from qatrix.declare.source.qconfigs import qconfig_text
from qatrix.declare.source.text import argument_texts, call_text
from qatrix.declare.spec import FxPreset, Part, Pt2ePreset, QConfigSpec, QuantizerSpec
from qatrix.quantizers import BuiltIn
from qatrix.scripts import OWN_PACKAGE, QuantizerSource, literal

# What the lines call that which makes the quantizer, and its configuration.
_CLASS: Final = "quantizer_class"
_CONFIGURATION: Final = "quantizer_config"
_EXTRA: Final = 'pip install "qatrix[{package}]" brings it'


def pt2e_preset(preset: Pt2ePreset, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """`quantizer`, made of a class of PT2E's or of the user's own; parts of the model are told of first."""
    known = preset.built_in
    make, making = _class(preset)
    configure, configuring = _configuration(preset)
    arguments = argument_texts(preset.config)
    chosen = None if configure is None else f"{configure}({', '.join(arguments)})"
    imports = [*making, *configuring]
    parts = list(pt2e_parts(preset, configure, skip_modules))
    if not imports and chosen is not None and not parts:
        return QuantizerSource(lines=_lines(f"{make}().set_global", [chosen], prefix="quantizer = "))
    lines = [
        *imports,
        *_lines(make, arguments if known is None and chosen is None else [], prefix="quantizer = "),
        *parts,
        *(() if chosen is None else _lines("quantizer.set_global", [chosen])),
    ]
    return QuantizerSource(lines=tuple(lines), needs=_needs(preset))


def composed(members: Sequence[QuantizerSource]) -> QuantizerSource:
    """`quantizer`, which has those of the members annotate one after the other.

    What a member defines is inside of a function of its own, since two may define the same names.
    """
    definitions, lines, needs = [], ["composed = []"], []
    for number, member in enumerate(members, start=1):
        if member.definitions:
            body = textwrap.indent("\n".join((member.definitions, "", *member.lines, "return quantizer")), "    ")
            definitions.append(f"def quantizer_{number}():\n{body}")
            lines.append(f"composed.append(quantizer_{number}())")
        else:
            lines += [*member.lines, "composed.append(quantizer)"]
        needs += [] if member.needs is None else [member.needs]
    return QuantizerSource(
        definitions="\n\n\n".join(definitions),
        lines=(*lines, "quantizer = ComposableQuantizer(composed)"),
        needs="; ".join(dict.fromkeys(needs)) or None,
    )


def _lines(function: str, arguments: list[str], prefix: str = "") -> tuple[str, ...]:
    return tuple(call_text(function, arguments, prefix=prefix).split("\n"))


def _class(preset: Pt2ePreset) -> tuple[str, list[str]]:
    """What makes the quantizer, and what imports it: PyTorch's classes are called by their names."""
    known = preset.built_in
    if known is None:
        return _imported(*preset.place, name=_CLASS)
    if known.package is None:
        return known.class_name, []
    return _imported(_module(known), known.class_name, name=_CLASS)


def _configuration(preset: Pt2ePreset) -> tuple[str | None, list[str]]:
    """What makes that which goes to `set_global`, None where nothing does, and what imports it."""
    known = preset.built_in
    if preset.config_from is not None:
        module, _, attribute = preset.config_from.rpartition(".")
        return _imported(module, attribute, name=_CONFIGURATION)
    if known is None or known.configuration is None:
        return None, []
    if known.package is None:
        return known.configuration, []
    return _imported(_module(known), known.configuration, name=_CONFIGURATION)


def _imported(module: str, attribute: str, *, name: str) -> tuple[str, list[str]]:
    """An attribute of a module under a name of the script's: what packages are called may mean something there."""
    first, dot, rest = attribute.partition(".")
    return f"{name}{dot}{rest}", [f"from {module} import {first} as {name}"]


def _module(known: BuiltIn) -> str:
    # Packages beside PyTorch's have their classes in one place.
    return next(iter(known.modules.values()))


def _needs(preset: Pt2ePreset) -> str | None:
    """The package beside PyTorch's that the lines import, and how to come by it; None where they import none."""
    if preset.built_in is not None and preset.built_in.package is not None:
        package = preset.built_in.package
        return f"{package}: {_EXTRA.format(package=package)}"
    if preset.registration is not None:
        package = preset.registration.module.partition(".")[0]
        return f"{package}: it comes with {preset.registration.distribution} {preset.registration.version}"
    own = preset.config_from or (preset.quantizer if preset.built_in is None else None)
    return None if own is None else f"{own.partition('.')[0]}: {OWN_PACKAGE}"


def fx_preset(preset: FxPreset, skip_modules: tuple[str, ...], quantizer: QuantizerSpec) -> QuantizerSource:
    """`qconfigs` and `backend_config`, made of what FX graph mode has by name, and of QConfigs that are spelled out."""
    named, made = _with_named_parts(preset, quantizer)
    if isinstance(preset.qconfig, QConfigSpec):
        made = [*qconfig_text(preset.qconfig, quantizer, prefix="qconfig = ").split("\n"), *made]
        mapping = "QConfigMapping().set_global(qconfig)"
    elif preset.qconfig is not None:
        mapping = f"QConfigMapping().set_global({preset.qconfig})"
    else:
        trains = quantizer.mode == "qat"
        mapping = f"get_default_{'qat_' if trains else ''}qconfig_mapping({literal(preset.qconfig_mapping)})"
    return QuantizerSource(
        lines=(
            *made,
            f"qconfigs = {mapping}",
            *fx_parts(named, skip_modules),
            f"backend_config = get_{preset.backend_config}_backend_config()",
        )
    )


def _with_named_parts(preset: FxPreset, quantizer: QuantizerSpec) -> tuple[FxPreset, list[str]]:
    """The preset whose parts have QConfigs by name, and the lines that make those which are spelled out."""
    lines: list[str] = []
    numbers = itertools.count(1)

    def named(part: Part[str | QConfigSpec]) -> Part[str | QConfigSpec]:
        if not isinstance(part.setting, QConfigSpec):
            return part
        name = f"qconfig_{next(numbers)}"
        lines.extend(qconfig_text(part.setting, quantizer, prefix=f"{name} = ").split("\n"))
        return replace(part, setting=name)

    types, modules = (tuple(map(named, parts)) for parts in (preset.types, preset.modules))
    return replace(preset, types=types, modules=modules), lines


def skipping(skip_modules: tuple[str, ...]) -> str:
    """The calls that tell a mapping of qconfigs which modules to leave alone."""
    return "".join(f".set_object_type(nn.{name}, None)" for name in skip_modules)
