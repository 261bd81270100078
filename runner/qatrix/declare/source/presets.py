"""Quantizers that the pipelines already have, as source."""

from __future__ import annotations

from qatrix.declare.source.text import call_text
from qatrix.declare.spec import FxPreset, Pt2ePreset
from qatrix.scripts import QuantizerSource, literal


def pt2e_preset(preset: Pt2ePreset, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """`quantizer`, made of a quantizer of PT2E's; the modules to leave alone are told first."""
    config = ", ".join(f"{key}={literal(value)}" for key, value in preset.config.items())
    chosen = f"get_symmetric_quantization_config({config})"
    if not skip_modules:
        made = call_text(f"{preset.quantizer}().set_global", [chosen], prefix="quantizer = ")
        return QuantizerSource(lines=tuple(made.split("\n")))
    skipped = [f"quantizer.set_module_type(nn.{name}, None)" for name in skip_modules]
    return QuantizerSource(
        lines=(f"quantizer = {preset.quantizer}()", *skipped, *call_text("quantizer.set_global", [chosen]).split("\n"))
    )


def fx_preset(preset: FxPreset, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """`qconfigs` and `backend_config`, made of a qconfig and a backend config that FX graph mode has by name."""
    return QuantizerSource(
        lines=(
            f"qconfigs = {qconfig_mapping(preset.qconfig, skip_modules)}",
            f"backend_config = get_{preset.backend_config}_backend_config()",
        )
    )


def qconfig_mapping(qconfig: str, skip_modules: tuple[str, ...]) -> str:
    """The mapping of a qconfig to all modules but those to leave alone."""
    skipped = "".join(f".set_object_type(nn.{name}, None)" for name in skip_modules)
    return f"QConfigMapping().set_global({qconfig}){skipped}"
