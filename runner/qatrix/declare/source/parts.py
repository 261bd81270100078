"""What a preset is told of parts of a model, as source: modules by their paths or by globs, classes of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from qatrix.declare.globs import alternatives
from qatrix.declare.source.text import argument_texts
from qatrix.declare.spec import FxPreset, Pt2ePreset
from qatrix.expressions import Value
from qatrix.scripts import literal

# As pipelines.quantizers tells a quantizer of which nothing else is known.
_BY_TYPE: Final = "set_module_type"
_BY_NAME: Final = "set_module_name"
_SPECIAL: Final = frozenset("*?[{")
# What stands for a path in a call of which the paths are not known yet.
_PATH: Final = "path"


def pt2e_parts(preset: Pt2ePreset, configure: str | None, skip_modules: tuple[str, ...]) -> Iterator[str]:
    """The lines that tell `quantizer` of parts, whose configurations `configure` makes."""
    known = preset.built_in
    by_type = (None if known is None else known.by_type) or _BY_TYPE
    for part in preset.types:
        yield f"quantizer.{by_type}(nn.{part.name}, {_configuration(configure, part.setting)})"
    for name in skip_modules:
        yield f"quantizer.{by_type}(nn.{name}, None)"
    by_name = (None if known is None else known.by_name) or _BY_NAME
    for part in preset.modules:
        if part.setting is None and known is not None and known.names is not None:
            yield from _for_modules(part.name, f"quantizer.{known.names}[", "] = None")
        else:
            yield from _for_modules(part.name, f"quantizer.{by_name}(", f", {_configuration(configure, part.setting)})")


def fx_parts(preset: FxPreset, skip_modules: tuple[str, ...]) -> Iterator[str]:
    """The lines that tell `qconfigs` of parts."""
    for part in preset.types:
        yield f"qconfigs.set_object_type(nn.{part.name}, {part.setting})"
    for name in skip_modules:
        yield f"qconfigs.set_object_type(nn.{name}, None)"
    for part in preset.modules:
        yield from _for_modules(part.name, "qconfigs.set_module_name(", f", {part.setting})")


def _configuration(configure: str | None, setting: Mapping[str, Value] | None) -> str:
    return "None" if setting is None else f"{configure}({', '.join(argument_texts(setting))})"


def _for_modules(glob: str, before: str, after: str) -> Iterator[str]:
    """One statement for each module that fits, with its path between two texts; a glob is looked up in the model."""
    if not _SPECIAL.intersection(glob):
        yield f"{before}{literal(glob)}{after}"
        return
    fits = " or ".join(f"fnmatch.fnmatchcase({_PATH}, {literal(one)})" for one in alternatives(glob))
    yield f"for {_PATH}, _ in float_model().named_modules(remove_duplicate=False):"
    yield f"    if {_PATH} and ({fits}):" if " or " in fits else f"    if {_PATH} and {fits}:"
    yield f"        {before}{_PATH}{after}"
