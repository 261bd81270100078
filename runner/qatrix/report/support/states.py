"""What a cell of the support table says, in the words, glyphs and tones in which every display says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from qatrix.report.vocabulary import Tone

State = Literal["fails", "float", "partly", "unavailable", "untold", "reference", "integers"]


@dataclass(frozen=True, kw_only=True)
class StateWords:
    """How a state is shown: glyph, word and tone together, and what it means."""

    glyph: str
    word: str
    tone: Tone
    meaning: str


# The worst first: of several cases a cell says the first of these that occurs.
STATES: Final[Mapping[State, StateWords]] = {
    "fails": StateWords(glyph="✗", word="fails", tone="bad", meaning="It does not get through all stages."),
    "float": StateWords(glyph="◌", word="float", tone="known", meaning="No op runs in integers."),
    "partly": StateWords(
        glyph="◐", word="partly", tone="known", meaning="Some ops that the quantizer quantizes run in float."
    ),
    "unavailable": StateWords(
        glyph="○",
        word="unavailable",
        tone="quiet",
        meaning="Not run: this environment lacks it, it cannot express the quantizer, or the case is skipped.",
    ),
    "untold": StateWords(
        glyph="·", word="runs", tone="quiet", meaning="It runs; the runtime does not say what it computes in."
    ),
    "reference": StateWords(
        glyph="≡",
        word="reference",
        tone="fair",
        meaning="The runtime computes as the converted program does, in float.",
    ),
    "integers": StateWords(
        glyph="✓", word="integers", tone="good", meaning="Every op that the quantizer quantizes runs in integers."
    ),
}
# The worst is 0.
RANKS: Final[Mapping[State, int]] = {state: rank for rank, state in enumerate(STATES)}
