"""The scripts of findings as files beside the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.report.findings.document import FindingFacts
from qatrix.text import printed_source, visible

# What every such file begins with, and nothing else: by it those of an earlier page are known.
MARK: Final = "# Written by qatrix findings"


@dataclass(frozen=True, kw_only=True)
class ScriptFile:
    """A file's name, and what is in it."""

    name: str
    text: str


def script_files(found: Iterable[FindingFacts]) -> Mapping[str, ScriptFile]:
    """The files of those findings that have a script, by the names of the findings."""
    return {
        facts.name: ScriptFile(name=f"{facts.name}.py", text=_headed(facts.title, facts.script))
        for facts in found
        if facts.script is not None
    }


def _headed(title: str, script: Sequence[str]) -> str:
    """The script below lines that say whose it is."""
    text = f"{MARK}, which replaces and removes it: change a copy.\n# Cause: {visible(title)}\n#\n"
    return printed_source(text + "\n".join(script) + "\n")
