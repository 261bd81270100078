"""The scripts of findings as files beside the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.report.findings.data import Finding
from qatrix.report.findings.names import file_names
from qatrix.text import printed_source, visible

# What every such file begins with, and nothing else: by it those of an earlier page are known.
MARK: Final = "# Written by qatrix findings"


@dataclass(frozen=True, kw_only=True)
class ScriptFile:
    """A file's name, and what is in it."""

    name: str
    text: str


def script_files(found: Iterable[Finding]) -> Mapping[str, ScriptFile]:
    """The files of those findings that have a script, by the keys of their causes."""
    kept = [(finding, finding.script) for finding in found if finding.script is not None]
    names = file_names(finding.cause.title for finding, _ in kept)
    return {
        finding.cause.key: ScriptFile(name=f"{name}.py", text=_headed(finding.cause.title, script))
        for (finding, script), name in zip(kept, names)
    }


def _headed(title: str, script: str) -> str:
    """The script below lines that say whose it is."""
    text = f"{MARK}, which replaces and removes it: change a copy.\n# Cause: {visible(title)}\n#\n{script.strip()}\n"
    return printed_source(text)
