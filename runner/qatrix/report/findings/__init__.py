"""What the expectations explain: a list of causes, with the cases and the figures of runs."""

from qatrix.report.findings.data import Finding, Findings, Spread, findings, read_runs
from qatrix.report.findings.rendering import findings_markdown

__all__ = ["Finding", "Findings", "Spread", "findings", "findings_markdown", "read_runs"]
