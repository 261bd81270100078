"""What each pipeline is told of a quantizer, as source."""

from __future__ import annotations

from qatrix.declare.source.annotation import declared_pt2e
from qatrix.declare.source.backend import declared_fx, inexpressible
from qatrix.declare.source.names import Names
from qatrix.declare.source.presets import composed, fx_preset, pt2e_preset
from qatrix.declare.spec import Composition, PhaseSpec, QuantizerSpec
from qatrix.scripts import PhaseSource, QuantizerSource


def phase_sources(
    quantizer: QuantizerSpec, *, names: Names, on_cpu: bool, dynamic_batch: bool
) -> tuple[PhaseSource, ...]:
    """The quantizer's phases; one that has none is one phase over the whole model."""
    phases = quantizer.phases or (_whole(quantizer),)
    return tuple(_phase(phase, names=names, on_cpu=on_cpu, dynamic_batch=dynamic_batch) for phase in phases)


def why_inexpressible(quantizer: QuantizerSpec, pipeline: str) -> str | None:
    """Why a pipeline cannot express a quantizer, None where it can."""
    parts = [phase.quantizer for phase in quantizer.phases] or [quantizer]
    why = _fx_reason if pipeline == "fx" else _pt2e_reason
    reasons = map(why, parts)
    return next((reason for reason in reasons if reason is not None), None)


def _phase(phase: PhaseSpec, *, names: Names, on_cpu: bool, dynamic_batch: bool) -> PhaseSource:
    spec = phase.quantizer
    sources: dict[str, QuantizerSource] = {}
    if _pt2e_reason(spec) is None:
        sources["pt2e"] = _pt2e(spec, phase.skip_modules, names=names, on_cpu=on_cpu)
    if _fx_reason(spec) is None:
        sources["fx"] = (
            fx_preset(spec.fx, phase.skip_modules, spec)
            if spec.fx is not None
            else declared_fx(spec, phase.skip_modules)
        )
    return PhaseSource(
        trains=spec.mode == "qat",
        submodules=phase.submodules,
        dynamic_batch=phase.dynamic_batch or dynamic_batch,
        quantizers=sources,
        converts_with=tuple(f"{name}={value}" for name, value in spec.convert.arguments.items()),
    )


def _pt2e(
    spec: QuantizerSpec, skip_modules: tuple[str, ...], *, names: Names, on_cpu: bool, is_member: bool = False
) -> QuantizerSource:
    if isinstance(spec.pt2e, Composition):
        members = spec.pt2e.members
        return composed([_pt2e(member, skip_modules, names=names, on_cpu=on_cpu, is_member=True) for member in members])
    if spec.pt2e is not None:
        return pt2e_preset(spec.pt2e, skip_modules)
    return declared_pt2e(spec, skip_modules, names=names, on_cpu=on_cpu, is_member=is_member)


def _whole(quantizer: QuantizerSpec) -> PhaseSpec:
    return PhaseSpec(quantizer=quantizer, submodules=(), dynamic_batch=False, skip_modules=(), source=quantizer.source)


def _pt2e_reason(spec: QuantizerSpec) -> str | None:
    if spec.pt2e is None and not spec.is_declared:
        return f"quantizer '{spec.name}' declares no pt2e preset"
    return None


def _fx_reason(spec: QuantizerSpec) -> str | None:
    if spec.fx is not None:
        return None
    return inexpressible(spec) if spec.is_declared else f"quantizer '{spec.name}' declares no fx preset"
