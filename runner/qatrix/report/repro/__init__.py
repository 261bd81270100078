"""Scripts that show what a case shows, without qatrix; what they print; bug reports about it."""

from __future__ import annotations

from qatrix.report.repro.files import FOLDER, script_name, wants_script, write_scripts
from qatrix.report.repro.issue import issue_md
from qatrix.report.repro.lines import expected_lines, figure_lines, same_lines
from qatrix.report.repro.names import own_names
from qatrix.report.repro.script import needed_package, script_text

__all__ = [
    "FOLDER",
    "expected_lines",
    "figure_lines",
    "issue_md",
    "needed_package",
    "own_names",
    "same_lines",
    "script_name",
    "script_text",
    "wants_script",
    "write_scripts",
]
