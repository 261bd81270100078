"""A run store as ready data: what every renderer loops over."""

from __future__ import annotations

from qatrix.report.frames.data import Conservation, NotRun, ReportData, SuiteCount, VerdictCount
from qatrix.report.frames.data import patterns_about as patterns_about
from qatrix.report.frames.data import read_store as read_store
from qatrix.report.frames.data import report_data as report_data
from qatrix.report.frames.headline import Headline
from qatrix.report.frames.matrix import Cell, CompatibilityMatrix, MatrixColumn, MatrixRow

__all__ = [
    "Cell",
    "CompatibilityMatrix",
    "Conservation",
    "Headline",
    "MatrixColumn",
    "MatrixRow",
    "NotRun",
    "ReportData",
    "SuiteCount",
    "VerdictCount",
    "patterns_about",
    "read_store",
    "report_data",
]
