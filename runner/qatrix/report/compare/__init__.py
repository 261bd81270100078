"""Several runs beside one another: what got better or worse, appeared or vanished, and in which environments.

Stores go in; a comparison comes out, which is rendered as a page, as Markdown and as JSON.
"""

from qatrix.report.compare.causes import cause_lines
from qatrix.report.compare.data import Pair, Row, RunComparison, Side, compare, read_side, read_sides
from qatrix.report.compare.rendering import COMPARE_FILES, write_comparison
from qatrix.report.transitions import KINDS, REGRESSIONS, Kind, Step, step

__all__ = [
    "COMPARE_FILES",
    "KINDS",
    "REGRESSIONS",
    "Kind",
    "Pair",
    "Row",
    "RunComparison",
    "Side",
    "Step",
    "cause_lines",
    "compare",
    "read_side",
    "read_sides",
    "step",
    "write_comparison",
]
