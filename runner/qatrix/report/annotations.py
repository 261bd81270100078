"""Unexpected cases as annotations, which GitHub shows beside the YAML line that declares them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.figures import clipped, counted
from qatrix.report.sentences import case_lines
from qatrix.report.vocabulary import SEVERITY
from qatrix.text import visible

# GitHub shows ten errors of a step and drops the rest without a word.
# https://docs.github.com/en/actions/reference/limits
_SHOWN: Final = 10
_LINES: Final = 6
_LENGTH: Final = 1000


def annotation_lines(records: Sequence[Record]) -> Iterator[str]:
    """Workflow commands for the unexpected cases, the worst first; the last says how many there are more.

    https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
    """
    unexpected = sorted((record for record in records if record.unexpected), key=lambda item: SEVERITY[item.verdict])
    fits = len(unexpected) <= _SHOWN
    for record in unexpected[: _SHOWN if fits else _SHOWN - 1]:
        text = "\n".join(clipped(line, _LENGTH) for line in case_lines(record)[:_LINES])
        place = f"file={_property(record.source.file)},line={record.source.line},col={record.source.column}"
        yield f"::error {place},title={_property(clipped(record.case_id, _LENGTH))}::{_message(text)}"
    if not fits:
        rest = counted(len(unexpected) - _SHOWN + 1, "more unexpected case")
        yield f"::error title=qatrix::{rest}: see the report"


def _message(text: str) -> str:
    """A command ends with its line; what is no line break but looks like one is spelled out."""
    shown = "\n".join(visible(line) for line in text.split("\n"))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
