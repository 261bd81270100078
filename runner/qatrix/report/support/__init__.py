"""What runs in integers where: patterns by quantizer and by pipeline on its runtime, from the cases of one run.

Records come in; a table comes out, which is rendered as a part of the page, as Markdown and as CSV. Two tables give
what was gained and lost from a run to the next.
"""

from __future__ import annotations

from qatrix.report.support.changes import SupportChange, support_changes
from qatrix.report.support.entries import Column, Names, known_names
from qatrix.report.support.rendering import support_csv, support_md, support_page
from qatrix.report.support.states import STATES, State
from qatrix.report.support.table import SupportCell, SupportRow, SupportTable, support_table

__all__ = [
    "STATES",
    "Column",
    "Names",
    "State",
    "SupportCell",
    "SupportChange",
    "SupportRow",
    "SupportTable",
    "known_names",
    "support_changes",
    "support_csv",
    "support_md",
    "support_page",
    "support_table",
]
