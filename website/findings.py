"""A page and a script for each finding, and the table of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from qatrix.report.causes import figure_sentences
from qatrix.report.figures import number
from qatrix.report.findings import FindingFacts, FindingsDocument
from qatrix.report.findings.rendering import command, in_verdicts
from qatrix.report.findings.scripts import script_files
from qatrix.report.markup import fenced, url
from qatrix.report.spreads import nearer_shortly
from qatrix.report.vocabulary import impact_words
from website.generated import Generated, rendered

_MARK: Final = "<!-- the table of findings -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finding's row of the table; `releases` show it, of the `ran` that ran such a case."""

    facts: FindingFacts
    impact: str
    told: str
    nearer: str
    apart: str
    releases: tuple[str, ...]
    ran: int


@dataclass(frozen=True, kw_only=True)
class Release:
    """How many cases show a finding on one release, of how many that ran there."""

    name: str
    count: int
    ran: int


def pages(told: FindingsDocument) -> tuple[Generated, ...]:
    """The pages, and the scripts beside them."""
    scripts = script_files(told.findings)
    texts = {name: file.text for name, file in scripts.items()}
    return (
        *(_page(facts, told, texts.get(facts.name)) for facts in told.findings),
        *(Generated(path=f"findings/{file.name}", text=file.text) for file in scripts.values()),
    )


def with_table(markdown: str, told: FindingsDocument) -> str:
    """The page with the table in the place of its mark."""
    before, mark, after = markdown.partition(_MARK)
    if not mark:
        msg = f"docs/findings.md has no line {_MARK}"
        raise ValueError(msg)
    rows = [_row(facts, told) for facts in told.findings]
    return before + rendered("findings.html.j2", rows=rows, has_impacts=any(row.impact for row in rows)) + after


def _row(facts: FindingFacts, told: FindingsDocument) -> Row:
    return Row(
        facts=facts,
        impact=impact_words(facts.impact).word if facts.impact else "",
        told=in_verdicts(facts),
        nearer=nearer_shortly(facts.spread),
        apart=number(facts.most_abs),
        releases=tuple(release for release, count in told.by_release(facts.counts).items() if count),
        ran=sum(map(bool, told.by_release(facts.ran).values())),
    )


def _page(facts: FindingFacts, told: FindingsDocument, script: str | None) -> Generated:
    text = rendered(
        "finding.md.j2",
        # The theme writes titles into HTML as they are.
        title=json.dumps(escape(facts.title)),
        facts=facts,
        impact=impact_words(facts.impact).word if facts.impact else "",
        told=in_verdicts(facts),
        figures=figure_sentences(facts),
        releases=list(_releases(facts, told)),
        links=list(map(url, facts.links)),
        issue=None if facts.issue is None else url(facts.issue.link),
        script=None if script is None else fenced(script, "python"),
        command=command(facts),
    )
    return Generated(path=f"findings/{facts.name}.md", text=text)


def _releases(facts: FindingFacts, told: FindingsDocument) -> Iterator[Release]:
    ran = told.by_release(facts.ran)
    for name, count in told.by_release(facts.counts).items():
        if ran[name]:
            yield Release(name=name, count=count, ran=ran[name])
