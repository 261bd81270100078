"""The pipelines that qatrix knows by name: where they are, and whose preset of a quantizer they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

# The keys of a quantizer's declaration that configure built-in pipelines.
Preset = Literal["pt2e", "fx"]


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A pipeline of qatrix's own: the module that it is in, the attribute of that, None where it is the module itself.

    `preset` is the key under which a quantizer says what the pipeline takes.
    """

    module: str
    attribute: str | None
    preset: Preset


# In the order in which they run and are shown. Pipelines that distributions register come after them.
BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    "pt2e": BuiltIn(module="qatrix.pipelines.pt2e", attribute="PIPELINE", preset="pt2e"),
    "fx": BuiltIn(module="qatrix.pipelines.fx", attribute=None, preset="fx"),
    "pt2e_torch_ao": BuiltIn(module="qatrix.pipelines.pt2e_torch_ao", attribute="PIPELINE", preset="pt2e"),
}


def preset_of(pipeline: str) -> Preset | None:
    """The key of a quantizer that a pipeline takes, None for one that is not built in."""
    known = BUILT_IN.get(pipeline)
    return None if known is None else known.preset
