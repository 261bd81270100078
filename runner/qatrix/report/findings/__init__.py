"""What the expectations explain: a list of causes, with the cases and the figures of runs."""

from qatrix.report.findings.data import Finding, Findings, findings, read_runs
from qatrix.report.findings.document import FindingFacts, FindingsDocument, as_json, document, from_json
from qatrix.report.findings.rendering import Page, document_page, findings_page
from qatrix.report.findings.scripts import MARK

__all__ = [
    "MARK",
    "Finding",
    "FindingFacts",
    "Findings",
    "FindingsDocument",
    "Page",
    "as_json",
    "document",
    "document_page",
    "findings",
    "findings_page",
    "from_json",
    "read_runs",
]
