"""The run as Markdown, for a CI job's summary: what is unexpected first, short enough to be shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.causes import Cause
from qatrix.report.changes import Move, since_line
from qatrix.report.figures import counted, duration
from qatrix.report.frames import ReportData
from qatrix.report.markup import code, html, more, text, within
from qatrix.report.reasons import cause_paragraphs
from qatrix.report.sentences import case_lines, reused_sentence
from qatrix.report.support import support_md
from qatrix.report.transitions import KINDS
from qatrix.report.vocabulary import VERDICTS, impact_words

_GROUP_BYTES: Final = 20_000
# A longer support table is for the page.
_SUPPORT_BYTES: Final = 20_000


def summary_md(data: ReportData) -> str:
    """The run as GitHub's Markdown, under 1 MiB whatever is in it, everything from outside escaped."""
    return (
        "\n".join(
            [
                *_head(data),
                *_unexpected(data),
                *_changes(data),
                *_causes(data),
                *_support(data),
                *_not_run(data),
                *_rest(data),
            ]
        )
        + "\n"
    )


def _head(data: ReportData) -> Iterator[str]:
    head = data.headline
    yield f"## {head.glyph} Quantization matrix\n"
    if head.interruption:
        yield f"> [!WARNING]\n> {text(head.interruption)}\n"
    yield f"**{text(head.text)}**\n"
    if data.since:
        yield f"{text(f'Since {since_line(data.since, data.run.started)}')}.\n"
    if data.counts:
        yield "| | verdict | cases | as expected | unexpected |\n| --- | --- | ---: | ---: | ---: |"
        for row in data.counts:
            cells = (row.words.glyph, row.words.word, row.count, row.expected or "", row.unexpected or "")
            yield f"| {' | '.join(text(str(cell)) for cell in cells)} |"
        yield ""
    sums = data.conservation
    word = "All cases are accounted for" if sums.holds else "Cases are missing or too many"
    yield f"{word}: {sums.declared} declared, {sums.verdicts} with a verdict, {sums.unfinished} unfinished.\n"
    if data.run.reference:
        yield f"Compared with {text(data.run.reference)}.\n"
    if data.reused:
        yield f"{text(reused_sentence(data.reused, len(data.records)))}\n"


def _unexpected(data: ReportData) -> Iterator[str]:
    if data.unexpected:
        yield "### Unexpected\n"
        yield from within(data.unexpected, _unexpected_case)
        yield ""


def _unexpected_case(record: Record) -> str:
    words = VERDICTS[record.verdict]
    first, *rest = case_lines(record)
    lines = [
        f"- {text(words.glyph)} {code(record.case_id)}: **{text(first)}**",
        *(f"  - {text(line)}" for line in rest),
    ]
    return "\n".join(lines)


def _changes(data: ReportData) -> Iterator[str]:
    """The cases that moved since the baseline, one by one; of those that moved for no reason of theirs the number."""
    moves = [] if data.since is None else [move for move in data.since.moves if KINDS[move.kind].tone != "quiet"]
    if not moves:
        return
    yield "### What changed\n"
    yield from within(moves, _move)
    yield ""


def _move(move: Move) -> str:
    words = KINDS[move.kind]
    says = f": {text('; '.join(move.says))}" if move.says else ""
    return f"- {text(words.glyph)} {text(words.word)}: {code(move.case_id)}{says}"


def _causes(data: ReportData) -> Iterator[str]:
    if data.causes:
        yield "### Causes\n"
        yield from within(data.causes, _cause)
        yield ""


def _cause(cause: Cause) -> str:
    """One cause, folded: its anchor is the one that it has in the report."""
    words = impact_words(cause.impact)
    count = counted(len(cause.records), "case")
    impact = f"{words.glyph} {words.word}" if cause.declared else "! not declared"
    lines = [
        f'<a id="{cause.anchor}"></a>\n',
        f"<details><summary>{html(impact)}: {html(cause.title)}: {count}</summary>\n",
        *(f"{told}\n" for told in cause_paragraphs(cause)),
        *within(cause.records, _case, _GROUP_BYTES),
        "\n</details>",
    ]
    return "\n".join(lines)


def _support(data: ReportData) -> Iterator[str]:
    if not data.support:
        return
    yield "### What runs in integers where\n"
    table = support_md(data.support, level=4)
    if len(table.encode("utf-8", "replace")) <= _SUPPORT_BYTES:
        yield table
    else:
        yield f"{counted(len(data.support.rows), 'pattern')}: the table is in index.html, and qatrix support prints it."
    yield ""


def _not_run(data: ReportData) -> Iterator[str]:
    if not data.not_run:
        return
    yield "### Not run, or not by all pipelines\n"
    for group in data.not_run[:100]:
        word = VERDICTS[group.verdict].word
        yield f"- {counted(len(group.records), 'case')} {word}: {text(group.reason)}"
    yield from more(len(data.not_run) - 100, "reason")
    yield ""


def _rest(data: ReportData) -> Iterator[str]:
    if data.unfinished:
        yield "### Without a verdict\n"
        yield from within(data.unfinished, lambda case_id: f"- {code(case_id)}{_running(data, case_id)}")
        yield ""
    if data.run.warnings:
        yield "### Warnings\n"
        yield from within(data.run.warnings, lambda warning: f"- {text(warning)}")
        yield ""
    environment = data.run.environment
    yield "<details><summary>Environment</summary>\n"
    packages = [f"{name} {version or 'not installed'}" for name, version in environment.packages.items()]
    devices = [f"{name}: {told}" for name, told in environment.devices.items()]
    features = f"processor features: {environment.cpu_words}"
    facts = (f"python {environment.python}", environment.platform, environment.processor, features)
    run = (
        f"{counted(environment.threads, 'thread')}",
        f"started {data.run.started}, took {duration(data.run.seconds)}",
    )
    yield from (f"- {text(fact)}" for fact in (*packages, *facts, *devices, *run))
    yield f"- {code(' '.join(data.run.command), limit=2000)}"
    yield "\n</details>"


def _running(data: ReportData, case_id: str) -> str:
    return " was running" if case_id in data.in_flight else ""


def _case(record: Record) -> str:
    return f"- {code(record.case_id)}: {text(record.summary)}"
