"""Where the page leads to: views of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

from qatrix.report.figures import href
from qatrix.report.html.rows import shown_value
from qatrix.report.support import Column, SupportCell, SupportRow

# What a query takes without quotes; explorer/query.js has the same.
_PLAIN_FIELD: Final = re.compile(r"[A-Za-z_][\w.]*", re.ASCII)
_PLAIN_VALUE: Final = re.compile(r"[^\s,()\"<>=:*?\\-][^\s,()\"*?\\]*")
_BOUND: Final = re.compile(r"(>|<=)(-?[\d.]+(?:e[+-]?\d+)?)")
# What stays readable in an address.
_IN_QUERY: Final = "/,:@<>=*"
# Fields that are no axes; an axis of that name is "axis.verdict".
_OTHER_FIELDS: Final = frozenset({"verdict", "is", "cause", "id", "error", "sqnr", "steps", "max_abs", "seconds"})


def view_href(conditions: Mapping[str, str] | None = None, **others: str) -> str:
    """A link to the cases that fit: axes by name, and fields such as `verdict`, `is` or `cause` beside them."""
    axes = {f"axis.{name}" if name in _OTHER_FIELDS else name: value for name, value in (conditions or {}).items()}
    terms = [query_term(name, value) for name, value in {**axes, **others}.items()]
    return search_href(" ".join(terms))


def query_term(field: str, value: str) -> str:
    """One condition as the search field of the page reads it: "dim:3", "groups>1", 'padding:"[1, 2]"'."""
    name = field if _PLAIN_FIELD.fullmatch(field) else quoted(field)
    bound = _BOUND.fullmatch(value)
    if bound is not None:
        return f"{name}{bound[1]}{bound[2]}"
    return f"{name}:{value if _PLAIN_VALUE.fullmatch(value) else quoted(value)}"


def quoted(text: str) -> str:
    """A text that a query takes as it is."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def search_href(query: str) -> str:
    """A link to the cases that a search finds, such as `cause:key`."""
    return "#" + urlencode({"q": query}, safe=_IN_QUERY, errors="replace")


def support_href(row: SupportRow, column: Column, cell: SupportCell) -> str:
    """A link to the case of a cell of the support table, or to all of them: those of its runtime, where it has one."""
    if len(cell.case_ids) == 1:
        return href(cell.case_ids[0])
    named = {"runtime": cell.declared[0]} if len(cell.declared) == 1 else {}
    conditions = {"pattern": row.pattern, "quantizer": column.quantizer, **named}
    return view_href({name: shown_value(value) for name, value in conditions.items()})
