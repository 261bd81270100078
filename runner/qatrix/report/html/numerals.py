"""Numbers in running text, which no line may break: neither within one nor between one and its unit."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from qatrix.text import visible

# By itself and no part of a name: "0.5 step", "-1.3e-06", "42.2 against 41.0 dB".
_NUMBER: Final = re.compile(
    r"(?<![\w.&#;])[-+]?\d[\d.,]*(?<![.,])(?:e[-+]?\d+)?"
    r"(?: (?:against -?[\d.]+ )?(?:dB|steps?|layers?|times|%|bytes)\b)?(?![\w])"
)


def numbers(text: str) -> Markup:
    """The text as HTML in which each number stays on one line."""
    return Markup(_NUMBER.sub(r'<span class="nb">\g<0></span>', str(escape(visible(text)))))  # noqa: S704  # escaped just here
