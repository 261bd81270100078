"""How numbers, values and places are written for people; rounding happens here and nowhere else."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from qatrix import text as outside
from qatrix.digits import FEWEST
from qatrix.expressions import Value

NOT_MEASURED = "–"
_ANCHOR_LENGTH = 300
# Whole numbers below this are written out.
_EXACT_BELOW: Final = 1e6
# Of figures with three digits these have none after the point.
_WHOLE_FROM: Final = 100
_MINUTE: Final = 60
# A key of a dict among the steps to a value, as Python writes it.
_KEY: Final = re.compile(r"""\[['"]([^'"]*)['"]\]""")
# One capital and small letters alone; PT2E, FX, ExecuTorch, Conv2d and code are written in other ways.
_FIRST_WORD: Final = re.compile(r"[A-Z][a-z]*(?=[\s,])")
_NAMES: Final = frozenset({"Android", "Apple", "Core", "Inductor", "Intel", "Linux", "Python", "Torch", "Windows"})

counted = outside.counted


def number(value: float | None, digits: int = FEWEST) -> str:
    """Three significant digits unless told otherwise; "–" where nothing was measured."""
    if value is None:
        return NOT_MEASURED
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if value == int(value) and abs(value) < _EXACT_BELOW:
        return str(int(value))
    return f"{value:.{digits}g}"


def decibels(value: float | None) -> str:
    """One digit after the point, without the unit; "–" where nothing was measured."""
    return number(value) if value is None or not math.isfinite(value) else f"{value:.1f}"


def seconds(value: float | None) -> str:
    """Two digits after the point, without the unit."""
    return number(value) if value is None or not math.isfinite(value) else f"{value:.2f}"


def duration(value: float) -> str:
    """Seconds, minutes or hours in words: "4.2 s", "12 min 5 s", "2 h 10 min"."""
    if not math.isfinite(value) or value < _MINUTE:
        return f"{seconds(value) if value < 1 else decibels(value)} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < _MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(started: str) -> str:
    """An ISO 8601 time to the minute, in UTC; text that is none stays as it is."""
    return _at(started, "%Y-%m-%d %H:%M UTC")


def day(started: str) -> str:
    """The day of an ISO 8601 time, in UTC: "28 Nov 2026"; text that is none stays as it is."""
    return _at(started, "%-d %b %Y")


def time_of_day(started: str) -> str:
    """The time of day of an ISO 8601 time, in UTC: "10:15 UTC"; text that is none stays as it is."""
    return _at(started, "%H:%M UTC")


def _at(started: str, how: str) -> str:
    try:
        time = datetime.fromisoformat(started)
        return time.astimezone(UTC).strftime(how)
    except (ValueError, OverflowError):
        return started


def axis_value(value: Value) -> str:
    """An axis value as YAML spells it; "–" for an axis that the case does not have."""
    match value:
        case None:
            return NOT_MEASURED
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"[{', '.join(map(axis_value, value))}]"
        case _:
            return str(value)


def anchor(case_id: str) -> str:
    """The case's name in links to it and in id attributes: the case id itself, unless HTML cannot hold it."""
    plain = "".join(character if character.isprintable() and character != " " else "_" for character in case_id)
    if plain == case_id and len(plain) <= _ANCHOR_LENGTH:
        return case_id
    digest = hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{plain[: _ANCHOR_LENGTH - 13]}-{digest}"


def href(case_id: str) -> str:
    """A link to the case within the report, which the page reads as "case=…"."""
    return "#case=" + quote(anchor(case_id), safe="/=,.:@+_-~", errors="replace")


def place(at: str | None) -> str:
    """The place of a value as its reader knows it: "step 5", "[0] logits [1, 2]"; "–" where there is none."""
    if at is None:
        return NOT_MEASURED
    parts = _KEY.split(at)
    return " ".join(part for part in parts if part and part != "[]") or "the only value"


def tolerance_used(factor: float | None) -> str:
    """How much of a tolerance a difference uses: "42 %", and "425 times" where it is beyond it."""
    if factor is None:
        return NOT_MEASURED
    if factor <= 1:
        return f"{number(100 * factor)} %"
    if not math.isfinite(factor):
        return "more than any"
    if factor >= _EXACT_BELOW:
        return f"over {_EXACT_BELOW:,.0f} times"
    return f"{factor:.3g} times" if factor < _WHOLE_FROM else f"{factor:,.0f} times"


def listed(items: Iterable[str]) -> str:
    """For instance "a", "a and b", "a, b and c"."""
    *head, last = items or ("nothing",)
    return f"{', '.join(head)} and {last}" if head else last


def as_sentence(text: str) -> str:
    """A reason, which may begin small and end without a period, as a sentence."""
    return f"{text[:1].upper()}{text[1:].rstrip('. ')}."


def after_because(text: str) -> str:
    """A reason as it follows "because": a word that only begins a sentence begins small, a name stays as it is."""
    first = _FIRST_WORD.match(text)
    return text if first is None or first[0] in _NAMES else f"{text[:1].lower()}{text[1:]}"


def clipped(text: str, limit: int) -> str:
    """The text, or its beginning and how many characters more are in results.json."""
    return outside.clipped(text, limit, whole="results.json")


def clipped_head(text: str, limit: int) -> str:
    """The text, or its end: of a traceback the last lines matter most."""
    if len(text) <= limit:
        return text
    return f"({len(text) - limit} more characters in results.json) …\n{text[-limit:]}"
