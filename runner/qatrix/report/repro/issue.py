"""A bug report about a case, in Markdown: what happens, the environment, a script that shows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.outcomes import Environment, Record
from qatrix.report.again import RUN, again
from qatrix.report.causes import cause_of, declared_key, is_declared
from qatrix.report.declaring import declaring_hint, expectation_yaml
from qatrix.report.explanation import explanation_lines
from qatrix.report.figures import clipped_head
from qatrix.report.markup import code, fenced, html, text
from qatrix.report.reasons import cause_paragraphs
from qatrix.report.repro.lines import expected_lines
from qatrix.report.repro.script import needed_package
from qatrix.report.sentences import case_lines

# GitHub takes 65,536 characters for a whole issue.
_TRACEBACK: Final = 8000
_LINE: Final = 1200
_HEADING: Final = 80


def issue_md(script: str, *, record: Record, environment: Environment, command: Sequence[str] = RUN) -> str:
    """The report: heading, expected, actual with figures and tracebacks, cause, script, environment.

    `command` is the run's; what is unexpected comes with the one that runs the case again.
    """
    return "\n".join(_blocks(script, record, environment, command)) + "\n"


def _blocks(script: str, record: Record, environment: Environment, command: Sequence[str]) -> Iterator[str]:
    yield f"# {text(_heading(record))}"
    yield "\n## Expected\n"
    yield "PT2E and FX graph mode both run the model, quantize it, and give the same outputs."
    yield "\n## Actual\n"
    yield from (f"- {text(line, limit=_LINE)}" for line in case_lines(record))
    if record.diagnosis is not None:
        yield "\nWhere they part:\n"
        yield from (f"- {text(line, limit=_LINE)}" for line in explanation_lines(record.diagnosis) if line.strip())
    yield from _cause(record)
    for name, error in _errors(record):
        yield f"\n<details><summary>Traceback of {html(name)}</summary>\n"
        yield fenced(clipped_head(error, _TRACEBACK), "text")
        yield "\n</details>"
    yield "\n## Script\n"
    needed = needed_package(script)
    packages = "torch, torchvision and torchao only" if needed is None else f"torch, torchvision, torchao and {needed}"
    yield f"It needs {packages}.\n"
    yield fenced(script, "python")
    lines = expected_lines(record)
    if lines:
        yield "\nIt prints\n"
        yield fenced("\n".join(lines), "text")
    yield from _declaring(record, environment, command)
    yield "\n## Environment\n"
    yield from (f"- {text(fact)}" for fact in _facts(environment))


def _cause(record: Record) -> Iterator[str]:
    """The declared cause of a case that ended as expected, under the anchor that it has in the report."""
    if record.expected is None or not is_declared(record):
        return
    cause = cause_of(declared_key(record.expected), [record], {})
    yield f'\n<a id="{cause.anchor}"></a>\n'
    yield f"Known cause: **{text(cause.title)}** ({code(f'index.html#{cause.anchor}')})\n"
    yield from (f"- {told}" for told in cause_paragraphs(cause))


def _heading(record: Record) -> str:
    """What happens to which pattern, in a line that fits where issues are listed; the rest is told below."""
    happens = record.summary.partition("\n")[0]
    pattern = record.axes.get("pattern")
    about = "" if pattern is None else f"{pattern}: "
    room = _HEADING - len(about)
    if room < _HEADING // 2:
        about, room = "", _HEADING
    return about + (happens if len(happens) <= room else f"{happens[: room - 1].rsplit(' ', 1)[0].rstrip(',;:')}…")


def _declaring(record: Record, environment: Environment, command: Sequence[str]) -> Iterator[str]:
    """Of an unexpected case, what its reporter may do with qatrix: run it again, or declare it."""
    if not record.unexpected:
        return
    yield "\n## With qatrix\n"
    yield "This runs the case again:\n"
    yield fenced(again(command, record.case_id), "console")
    entry = expectation_yaml(record, environment)
    if entry is not None:
        yield f"\nThis declares it. {text(declaring_hint(record))}\n"
        yield fenced(entry, "yaml")


def _facts(environment: Environment) -> Iterator[str]:
    yield from (f"{name} {version or 'not installed'}" for name, version in environment.packages.items())
    yield f"Python {environment.python}"
    yield f"{environment.platform}, {environment.processor}"
    yield f"processor features: {environment.cpu_words}"
    yield from (f"device {name}: {told}" for name, told in environment.devices.items())


def _errors(record: Record) -> Iterator[tuple[str, str]]:
    if record.error is not None and record.error.traceback:
        yield "the case", record.error.traceback
    for outcome in record.pipelines.values():
        if outcome.error is not None and outcome.error.traceback:
            yield outcome.pipeline, outcome.error.traceback
