"""Pipelines that are not built in, as source."""

from __future__ import annotations

from typing import Final

from qatrix.declare.source.packages import package_needed
from qatrix.declare.source.presets import imported_as
from qatrix.declare.source.text import call_text
from qatrix.declare.spec import OwnPipeline, QuantizerSpec
from qatrix.scripts import QuantizerSource, literal

# What the lines call that which makes the pipeline.
_CLASS: Final = "pipeline_class"


def own_pipeline(name: str, own: OwnPipeline, spec: QuantizerSpec) -> QuantizerSource:
    """`pipeline`, made for the mode of a quantizer and what that says to it."""
    make, imports = imported_as(own.module, own.attribute, name=_CLASS)
    arguments = [literal(spec.mode), literal(spec.settings.get(name, {}))]
    made = call_text(make, arguments, prefix="pipeline = ").split("\n")
    return QuantizerSource(lines=(*imports, *made), needs=package_needed(own.module, own.registration))
