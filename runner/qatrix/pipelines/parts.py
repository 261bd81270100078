"""The modules that a quantizer treats unlike the rest, found in the model that it is to quantize."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from torch import nn

from qatrix.declare.globs import compiled_name
from qatrix.declare.language import nearest
from qatrix.declare.spec import Composition, FxPreset, Part, Pt2ePreset, QuantizerSpec, Setting

_Preset = TypeVar("_Preset", Pt2ePreset, FxPreset)
# Paths of a model that a message names.
_TOLD: Final = 8


class PartFault(Exception):
    """A quantizer names modules that the model does not have; the message says which, and what there is."""


def with_paths(quantizer: QuantizerSpec, model: nn.Module) -> QuantizerSpec:
    """The quantizer whose parts have the paths of the model's modules; raises PartFault where a glob fits none."""
    modules = {path: type(module) for path, module in model.named_modules(remove_duplicate=False) if path}
    return _of_quantizer(quantizer, modules)


def settings(parts: tuple[Part[Setting], ...]) -> dict[str, Setting | None]:
    """What configures each module by its path, None where it stays in float; of several parts the last one counts."""
    return {path: part.setting for part in parts for path in _known(part)}


def _known(part: Part[Setting]) -> tuple[str, ...]:
    if part.paths is None:
        msg = f"nobody has looked for the modules of '{part.name}' in a model"
        raise ValueError(msg)
    return part.paths


def _of_quantizer(quantizer: QuantizerSpec, modules: Mapping[str, type[nn.Module]]) -> QuantizerSpec:
    phases = tuple(replace(phase, quantizer=_of_quantizer(phase.quantizer, modules)) for phase in quantizer.phases)
    pt2e = quantizer.pt2e
    if isinstance(pt2e, Composition):
        pt2e = Composition(members=tuple(_of_quantizer(member, modules) for member in pt2e.members))
    elif pt2e is not None:
        pt2e = _of_preset(pt2e, modules, f"quantizer '{quantizer.name}', pt2e")
    fx = None if quantizer.fx is None else _of_preset(quantizer.fx, modules, f"quantizer '{quantizer.name}', fx")
    return replace(quantizer, pt2e=pt2e, fx=fx, phases=phases)


def _of_preset(preset: _Preset, modules: Mapping[str, type[nn.Module]], at: str) -> _Preset:
    return replace(
        preset,
        modules=tuple(replace(part, paths=_named(part.name, modules, at)) for part in preset.modules),
        types=tuple(replace(part, paths=tuple(_of_type(part.name, modules))) for part in preset.types),
    )


def _named(glob: str, modules: Collection[str], at: str) -> tuple[str, ...]:
    pattern = compiled_name(glob)
    found = tuple(path for path in modules if pattern.match(path))
    if not found:
        hint = nearest(glob, modules)
        msg = (
            f"{at}: the glob '{glob}' fits no module of the model; "
            f"expected one that fits any of {_listed(modules)}{f' ({hint})' if hint else ''}"
        )
        raise PartFault(msg)
    return found


def _of_type(name: str, modules: Mapping[str, type[nn.Module]]) -> Iterator[str]:
    # As FX graph mode and PT2E have it: of that class itself, and not of one that derives from it.
    return (path for path, kind in modules.items() if kind is getattr(nn, name))


def _listed(paths: Collection[str]) -> str:
    first = list(paths)[:_TOLD]
    more = f" and {len(paths) - _TOLD} more" if len(paths) > _TOLD else ""
    return f"{', '.join(first)}{more}" if first else "no module, because it has none"
