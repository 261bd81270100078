"""Where the page leads to: views of itself, and scripts beside it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9.=-]+")
_NAME_LENGTH: Final = 120


def view_href(conditions: Mapping[str, str] | None = None, **others: str) -> str:
    """A link to the cases that fit: axes by name, and `verdict`, `unexpected` or `q` beside them."""
    pairs = [(f"axis.{name}", value) for name, value in (conditions or {}).items()]
    return "#" + urlencode([*pairs, *others.items()], safe="/,:@", errors="replace")


def script_name(case_id: str) -> str:
    """The name, without its suffix, of the file that a script about a case is kept in: safe, short, and its own."""
    digest = hashlib.sha256(case_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', case_id)[:_NAME_LENGTH]}-{digest}"


def script_href(case_id: str) -> str:
    """Where the case's repro script lies, relative to the page."""
    return f"repro/{script_name(case_id)}.py"
