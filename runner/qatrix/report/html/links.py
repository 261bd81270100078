"""Where the page leads to: views of itself, and scripts beside it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from urllib.parse import urlencode


def view_href(conditions: Mapping[str, str] | None = None, **others: str) -> str:
    """A link to the cases that fit: axes by name, and `verdict`, `unexpected` or `q` beside them."""
    pairs = [(f"axis.{name}", value) for name, value in (conditions or {}).items()]
    return "#" + urlencode([*pairs, *others.items()], safe="/,:@", errors="replace")


def script_name(case_id: str) -> str:
    """The name, without its suffix, of the file that a case's repro script is kept in."""
    return str(importlib.import_module("qatrix.report.repro").script_name(case_id))


def script_href(case_id: str) -> str:
    """Where the case's repro script lies, relative to the page."""
    return f"repro/{script_name(case_id)}.py"
