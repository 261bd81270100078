"""Where the page leads to: views of itself."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode


def view_href(conditions: Mapping[str, str] | None = None, **others: str) -> str:
    """A link to the cases that fit: axes by name, and `verdict`, `unexpected` or `q` beside them."""
    pairs = [(f"axis.{name}", value) for name, value in (conditions or {}).items()]
    return "#" + urlencode([*pairs, *others.items()], safe="/,:@", errors="replace")
