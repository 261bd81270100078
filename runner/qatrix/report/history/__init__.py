"""Many runs in the order of time: every case's strip of verdicts, and the cases that waver.

Stores go in; a history comes out, which is rendered as a page and as JSON. Only verdicts are
read of a record, so that a hundred runs take no more room than one report.
"""

from qatrix.report.history.data import CaseHistory, Change, History, HistoryRun, history, read_runs
from qatrix.report.history.rendering import HISTORY_FILES, write_history

__all__ = [
    "HISTORY_FILES",
    "CaseHistory",
    "Change",
    "History",
    "HistoryRun",
    "history",
    "read_runs",
    "write_history",
]
