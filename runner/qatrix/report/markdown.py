"""The run as Markdown, for a CI job's summary: what is unexpected first, short enough to be shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from qatrix.outcomes import Record
from qatrix.report.figures import clipped, counted, duration, visible
from qatrix.report.frames import KnownDifference, ReportData
from qatrix.report.sentences import case_lines, reused_sentence
from qatrix.report.vocabulary import VERDICTS

T = TypeVar("T")
# GitHub drops a summary over 1 MiB; five sections of this many bytes stay well under it.
_SECTION_BYTES: Final = 120_000
_GROUP_BYTES: Final = 20_000
_NAME, _TEXT = 500, 600
# What begins a list, a heading or a quote means nothing elsewhere, and stays readable there.
_MARKUP = re.compile(r"([\\`*_{}\[\]|~$]|^[-+#=:!]|(?<=^\d)[.)]|(?<=^\d\d)[.)])")


def summary_md(data: ReportData) -> str:
    """The run as GitHub's Markdown, under 1 MiB whatever is in it, everything from outside escaped."""
    return "\n".join([*_head(data), *_unexpected(data), *_known(data), *_not_run(data), *_rest(data)]) + "\n"


def _head(data: ReportData) -> Iterator[str]:
    head = data.headline
    yield f"## {head.glyph} Quantization matrix\n"
    if head.interruption:
        yield f"> [!WARNING]\n> {_text(head.interruption)}\n"
    yield f"**{_text(head.text)}**\n"
    if data.counts:
        yield "| | verdict | cases | as expected | unexpected |\n| --- | --- | ---: | ---: | ---: |"
        for row in data.counts:
            cells = (row.words.glyph, row.words.word, row.count, row.expected or "", row.unexpected or "")
            yield f"| {' | '.join(_text(str(cell)) for cell in cells)} |"
        yield ""
    sums = data.conservation
    word = "All cases are accounted for" if sums.holds else "Cases are missing or too many"
    yield f"{word}: {sums.declared} declared, {sums.verdicts} with a verdict, {sums.unfinished} unfinished.\n"
    if data.reused:
        yield f"{_text(reused_sentence(data.reused, len(data.records)))}\n"


def _unexpected(data: ReportData) -> Iterator[str]:
    if data.unexpected:
        yield "### Unexpected\n"
        yield from _within(data.unexpected, _unexpected_case)
        yield ""


def _unexpected_case(record: Record) -> str:
    words = VERDICTS[record.verdict]
    first, *rest = case_lines(record)
    lines = [
        f"- {_text(words.glyph)} {_code(record.case_id)}: **{_text(first)}**",
        *(f"  - {_text(line)}" for line in rest),
    ]
    return "\n".join(lines)


def _known(data: ReportData) -> Iterator[str]:
    if data.known:
        yield "### Differences that were expected\n"
        yield from _within(data.known, _known_group)
        yield ""


def _known_group(group: KnownDifference) -> str:
    link = f" ([more]({_url(group.link)}))" if group.link else ""
    count = counted(len(group.records), "case")
    lines = [
        f"<details><summary>{_html(group.because)}: {count}</summary>\n",
        f"{_text(group.because)}{link}\n",
        *_within(group.records, _case, _GROUP_BYTES),
        "\n</details>",
    ]
    return "\n".join(lines)


def _not_run(data: ReportData) -> Iterator[str]:
    if not data.not_run:
        return
    yield "### Not run\n"
    for group in data.not_run[:100]:
        word = VERDICTS[group.verdict].word
        yield f"- {counted(len(group.records), 'case')} {word}: {_text(group.reason)}"
    yield from _more(len(data.not_run) - 100, "reason")
    yield ""


def _rest(data: ReportData) -> Iterator[str]:
    if data.unfinished:
        yield "### Without a verdict\n"
        yield from _within(data.unfinished, lambda case_id: f"- {_code(case_id)}{_running(data, case_id)}")
        yield ""
    if data.run.warnings:
        yield "### Warnings\n"
        yield from _within(data.run.warnings, lambda warning: f"- {_text(warning)}")
        yield ""
    environment = data.run.environment
    yield "<details><summary>Environment</summary>\n"
    packages = [f"{name} {version or 'not installed'}" for name, version in environment.packages.items()]
    devices = [f"{name}: {text}" for name, text in environment.devices.items()]
    facts = (f"python {environment.python}", environment.platform, environment.processor)
    run = (
        f"{counted(environment.threads, 'thread')}",
        f"started {data.run.started}, took {duration(data.run.seconds)}",
    )
    yield from (f"- {_text(fact)}" for fact in (*packages, *facts, *devices, *run))
    yield f"- {_code(' '.join(data.run.command), limit=2000)}"
    yield "\n</details>"


def _running(data: ReportData, case_id: str) -> str:
    return " was running" if case_id in data.in_flight else ""


def _case(record: Record) -> str:
    return f"- {_code(record.case_id)}: {_text(record.summary)}"


def _within(items: Sequence[T], line: Callable[[T], str], limit: int = _SECTION_BYTES) -> Iterator[str]:
    """A line per item until `limit` bytes are used, then how many there are more."""
    used = 0
    for place, item in enumerate(items):
        text = line(item)
        used += len(text.encode("utf-8", "replace"))
        if used > limit and place:
            yield from _more(len(items) - place)
            return
        yield text


def _more(count: int, noun: str = "entry") -> Iterable[str]:
    return (
        [f"- … and {counted(count, noun, 'entries' if noun == 'entry' else None)} more in index.html"]
        if count > 0
        else []
    )


def _one_line(text: str, limit: int) -> str:
    return visible(" ".join(clipped(text, limit).split()))


def _html(text: str) -> str:
    return _one_line(text, _TEXT).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _text(text: str) -> str:
    """Text that Markdown and HTML leave alone, on one line; `@` mentions nobody."""
    escaped = _MARKUP.sub(r"\\\1", _one_line(text, _TEXT).replace("&", "&amp;"))
    return escaped.replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")


def _code(text: str, *, limit: int = _NAME) -> str:
    """A code span; its fence is longer than any run of backticks inside."""
    line = _one_line(text, limit)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _url(link: str) -> str:
    """The link where it is one for the web, with what would end it percent-encoded."""
    if not link.startswith(("https://", "http://")):
        return "#"
    return re.sub(r"[\s()<>\\\"]", lambda match: f"%{ord(match[0]):02X}", visible(link))
