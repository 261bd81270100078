"""Quantizers that the pipelines already have, as source."""

from __future__ import annotations

from qatrix.declare.source.text import call_text
from qatrix.declare.spec import FxPreset, Pt2ePreset
from qatrix.declare.vocabulary import PT2E_QUANTIZERS
from qatrix.scripts import QuantizerSource, literal


def pt2e_preset(preset: Pt2ePreset, skip_modules: tuple[str, ...]) -> QuantizerSource:
    """`quantizer`, made of a quantizer of PT2E's; the modules to leave alone are told first."""
    known = PT2E_QUANTIZERS[preset.quantizer]
    config = ", ".join(f"{key}={literal(value)}" for key, value in preset.config.items())
    chosen = f"{known.configuration}({config})"
    if not skip_modules:
        made = call_text(f"{preset.quantizer}().set_global", [chosen], prefix="quantizer = ")
        return QuantizerSource(lines=tuple(made.split("\n")))
    skipped = [f"quantizer.{known.skip}(nn.{name}, None)" for name in skip_modules]
    return QuantizerSource(
        lines=(f"quantizer = {preset.quantizer}()", *skipped, *call_text("quantizer.set_global", [chosen]).split("\n"))
    )


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
