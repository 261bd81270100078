"""The words, glyphs and tones in which every display names a verdict or a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from qatrix.claims import Impact, Verdict
from qatrix.outcomes import UNREMARKABLE

# "known" is the tone of a difference that was expected; no verdict has it by itself.
Tone = Literal["good", "fair", "quiet", "known", "bad"]


@dataclass(frozen=True, kw_only=True)
class VerdictWords:
    """How a verdict is shown: a glyph, a word and a tone together, never a colour alone."""

    verdict: Verdict
    glyph: str
    word: str
    tone: Tone
    meaning: str


_TABLE: Final[tuple[tuple[Verdict, str, str, Tone, str], ...]] = (
    # The worst first. A cell of the matrix shows what did not run only where nothing in it ran.
    ("invalid", "?", "invalid", "bad", "The declared model itself does not run in eager float mode."),
    ("crashed", "↯", "crashed", "bad", "The case's process died."),
    ("timed_out", "◷", "timed out", "bad", "The case's process was stopped at its time limit."),
    ("failed", "✗", "failed", "bad", "One or more pipelines raised an error."),
    ("unquantized", "∅", "unquantized", "bad", "A pipeline silently quantized nothing; equal numbers prove nothing."),
    ("diverged", "≠", "diverged", "bad", "All pipelines ran, and their outputs are out of tolerance."),
    ("check_failed", "!", "check failed", "bad", "The numbers agree or are not compared, and a check fails."),
    ("unavailable", "○", "unavailable", "quiet", "This environment lacks a pipeline, package or operator."),
    ("skipped", "↷", "skipped", "quiet", "Not run, for the reason given."),
    ("close", "≈", "close", "fair", "Every comparison is within tolerance, and every check holds."),
    ("checked", "◉", "checked", "good", "Only one pipeline could run; every check on it holds."),
    ("exact", "✓", "exact", "good", "Every output is bit-identical, and every check holds."),
)

VERDICTS: Final[dict[Verdict, VerdictWords]] = {
    verdict: VerdictWords(verdict=verdict, glyph=glyph, word=word, tone=tone, meaning=meaning)
    for verdict, glyph, word, tone, meaning in _TABLE
}
# The worst is 0.
SEVERITY: Final[Mapping[Verdict, int]] = {verdict: rank for rank, verdict in enumerate(VERDICTS)}


@dataclass(frozen=True, kw_only=True)
class ImpactWords:
    """How the impact of a cause is shown."""

    glyph: str
    word: str
    tone: Tone
    meaning: str


# The gravest first.
IMPACTS: Final[Mapping[Impact, ImpactWords]] = {
    "wrong_numbers": ImpactWords(
        glyph="≠", word="wrong numbers", tone="bad", meaning="The model gives wrong numbers, and nothing says so."
    ),
    "error": ImpactWords(glyph="✗", word="error", tone="known", meaning="A pipeline, runtime or later step raises."),
    "left_in_float": ImpactWords(
        glyph="∅", word="left in float", tone="fair", meaning="Layers that should be quantized are computed in float."
    ),
    "by_design": ImpactWords(
        glyph="=", word="by design", tone="quiet", meaning="Both do as they are documented; no accuracy is lost."
    ),
}
_NO_IMPACT: Final = ImpactWords(glyph="·", word="not stated", tone="quiet", meaning="The matrix does not say.")

_STATUSES: Final[Mapping[str, tuple[str, str, Tone]]] = {
    "ok": ("✓", "ok", "good"),
    "failed": ("✗", "failed", "bad"),
    "unavailable": ("○", "unavailable", "quiet"),
    "inexpressible": ("○", "cannot express this quantizer", "quiet"),
    "not_declared": ("–", "not declared", "quiet"),
    "exact": ("✓", "exact", "good"),
    "close": ("≈", "close", "fair"),
    "diverged": ("≠", "diverged", "bad"),
    "mismatched": ("≠", "mismatched", "bad"),
    "passed": ("✓", "passed", "good"),
    "not_run": ("–", "not run", "quiet"),
    "same": ("✓", "same", "good"),
    "differs": ("≠", "differs", "bad"),
}


def impact_words(impact: Impact | None) -> ImpactWords:
    """Glyph, word and tone of what a cause does; those of nothing where nobody said."""
    return _NO_IMPACT if impact is None else IMPACTS[impact]


def status_words(status: str) -> tuple[str, str, Tone]:
    """Glyph, word and tone of a pipeline's, comparison's or check's status."""
    return _STATUSES.get(status, ("·", status.replace("_", " "), "quiet"))


def tone_of(verdict: Verdict, *, unexpected: bool) -> Tone:
    """The tone of a case: bad where it is unexpected, known where it differs as expected."""
    if unexpected:
        return "bad"
    return VERDICTS[verdict].tone if verdict in UNREMARKABLE else "known"
