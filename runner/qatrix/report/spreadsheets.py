"""Tables for spreadsheets: CSV in which numbers stay numbers, and no text is taken for a formula."""

from __future__ import annotations

import math
from typing import Final

import pandas as pd

from qatrix.report.figures import axis_value
from qatrix.text import printed

# What makes a spreadsheet take a text for a formula, some programs after blanks, or in full width.
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def csv_text(frame: pd.DataFrame, *, header: bool = True) -> str:
    """The frame as CSV that no spreadsheet takes for formulas; an empty cell is "not measured"."""
    named = frame.rename(columns=_csv_text)
    return named.map(_csv_value).to_csv(index=False, header=header, lineterminator="\n")


def _csv_value(value: object) -> object:
    # An empty text, since beside None pandas would make the integers of a column floats.
    if value is None:
        return ""
    # pandas would write NaN, which was measured, as an empty cell, which means "not measured".
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (str, tuple)):
        return _csv_text(axis_value(value))
    return value


def _csv_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula: what begins as one gets a `'` before it."""
    shown = printed(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA) or shown[:1] in {"\t", "\n"} else shown
