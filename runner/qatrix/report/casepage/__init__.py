"""What a reader asks of a case, in that order: what differs first, why, who is closer, was it expected; layers."""

from __future__ import annotations

from qatrix.report.casepage.kept import KeptLayers, kept_layers
from qatrix.report.casepage.lead import MOST_CAUSES, Lead, cause_badge, failed_checks, lead, lead_lines
from qatrix.report.casepage.ledger import MOST_SHOWN, Ledger, ledgers
from qatrix.report.casepage.panels import Panel, panel
from qatrix.report.explanation import code_reasons

__all__ = [
    "MOST_CAUSES",
    "MOST_SHOWN",
    "KeptLayers",
    "Lead",
    "Ledger",
    "Panel",
    "cause_badge",
    "code_reasons",
    "failed_checks",
    "kept_layers",
    "lead",
    "lead_lines",
    "ledgers",
    "panel",
]
