"""What the expectations explain: a list of causes, with the cases and the figures of runs."""

from qatrix.report.findings.data import Finding, Findings, findings, read_runs
from qatrix.report.findings.rendering import Page, findings_page
from qatrix.report.findings.scripts import MARK

__all__ = ["MARK", "Finding", "Findings", "Page", "findings", "findings_page", "read_runs"]
