"""Where the page leads to: views of itself."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from qatrix.report.figures import href
from qatrix.report.html.rows import shown_value
from qatrix.report.support import Column, SupportCell, SupportRow


def view_href(conditions: Mapping[str, str] | None = None, **others: str) -> str:
    """A link to the cases that fit: axes by name, and `verdict`, `unexpected` or `q` beside them."""
    pairs = [(f"axis.{name}", value) for name, value in (conditions or {}).items()]
    return "#" + urlencode([*pairs, *others.items()], safe="/,:@", errors="replace")


def search_href(query: str) -> str:
    """A link to the cases that a search finds, such as `cause:key`."""
    return view_href(q=query)


def support_href(row: SupportRow, column: Column, cell: SupportCell) -> str:
    """A link to the case of a cell of the support table, or to all of them: those of its runtime, where it has one."""
    if len(cell.case_ids) == 1:
        return href(cell.case_ids[0])
    named = {"runtime": cell.declared[0]} if len(cell.declared) == 1 else {}
    conditions = {"pattern": row.pattern, "quantizer": column.quantizer, **named}
    return view_href({name: shown_value(value) for name, value in conditions.items()})
