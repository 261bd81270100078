"""The findings as one page of Markdown, and the scripts that it links to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import jinja2

from qatrix.report.figures import counted, listed, number
from qatrix.report.findings.data import Findings
from qatrix.report.findings.document import FindingFacts, FindingsDocument, document
from qatrix.report.findings.scripts import script_files
from qatrix.report.markup import code, text, url
from qatrix.report.reasons import cause_paragraphs
from qatrix.report.spreads import nearer_shortly
from qatrix.report.templates import compiled, templates
from qatrix.report.vocabulary import VERDICTS, impact_words

_HEADING: Final = "Findings"
# Of a cause with more suites and patterns than these, the others are counted.
_MOST_NAMES: Final = 12
# A cause is a paragraph.
_CAUSE_LENGTH: Final = 8000


@dataclass(frozen=True, kw_only=True)
class Page:
    """The findings as Markdown, and the scripts that it links to, by the names of their files."""

    text: str
    scripts: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A finding, and its script's path from the page, if the page has one."""

    finding: FindingFacts
    script: str | None


def findings_page(found: Findings, *, scripts: str | None = None) -> Page:
    """The page of a run's findings, as `document_page` makes it."""
    return document_page(document(found), scripts=scripts)


def document_page(told: FindingsDocument, *, scripts: str | None = None) -> Page:
    """A table of the causes, and a section for each: why, the cases, the figures, the releases, a script.

    `scripts` is the name of the folder beside the page in which the scripts will be; without
    it the page has the commands alone that make them.
    """
    files = {} if scripts is None else script_files(told.findings)
    paths = {name: f"{scripts}/{file.name}" for name, file in files.items()}
    sections = [_Section(finding=facts, script=paths.get(facts.name)) for facts in told.findings]
    return Page(text=_text(told, sections), scripts={file.name: file.text for file in files.values()})


def _text(told: FindingsDocument, sections: list[_Section]) -> str:
    return (
        _environment()
        .get_template("findings.md.j2")
        .render(
            heading=_HEADING,
            runs=told.runs,
            sections=sections,
            has_scripts=any(section.script for section in sections),
            rows=[_row(place, section, told) for place, section in enumerate(sections, 1)],
            counted=counted,
            told=in_verdicts,
            names=_names,
            releases=lambda facts: text(releases(facts, told), limit=_CAUSE_LENGTH),
            link=quote,
            shell=shlex.quote,
            command=command,
            impact=lambda facts: impact_words(facts.impact),
            paragraphs=cause_paragraphs,
            text=text,
            code=code,
            url=url,
            cause_length=_CAUSE_LENGTH,
        )
    )


def _environment() -> jinja2.Environment:
    # Markdown, not HTML, for which the texts of declarations and records are made ready by report.markup.
    return jinja2.Environment(  # noqa: S701
        loader=templates(),
        bytecode_cache=compiled("findings"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _row(place: int, section: _Section, told: FindingsDocument) -> str:
    """The finding's row of the table."""
    finding = section.finding
    shown_by, asked = (sum(map(bool, told.by_release(part).values())) for part in (finding.counts, finding.ran))
    cells = (
        str(place),
        f"[{text(finding.title)}](#{finding.anchor})",
        in_verdicts(finding),
        text(impact_words(finding.impact).word),
        text(nearer_shortly(finding.spread)),
        number(finding.most_abs),
        f"{shown_by} of {asked}",
    )
    return f"| {' | '.join(cells)} |"


def command(finding: FindingFacts) -> str:
    """The command that writes the script of the example; the id is quoted whatever is in it."""
    quoted = finding.example.case_id.replace("'", "'\"'\"'")
    return f"qatrix repro '{quoted}'"


def in_verdicts(finding: FindingFacts) -> str:
    """The verdicts in words: "12 diverged, 2 failed"."""
    return ", ".join(f"{count} {VERDICTS[verdict].word}" for verdict, count in finding.verdicts.items())


def _names(finding: FindingFacts) -> str:
    """The suites and patterns with their numbers of cases, or the first of them and how many more there are."""
    told = [f"{code(name)} ({count})" for name, count in finding.suites.items()]
    more = f" and {len(told) - _MOST_NAMES} more" if len(told) > _MOST_NAMES else ""
    return ", ".join(told[:_MOST_NAMES]) + more


def releases(finding: FindingFacts, whole: FindingsDocument) -> str:
    """For instance "torch 2.15.0 (4 cases); not torch 2.5.1; no such case ran on torch 2.3.1"."""
    counts, ran = (whole.by_release(numbers) for numbers in (finding.counts, finding.ran))
    shown = [f"{release} ({counted(count, 'case')})" for release, count in counts.items() if count]
    free = [release for release, count in counts.items() if ran[release] and not count]
    unasked = [release for release in counts if not ran[release]]
    told = [", ".join(shown)]
    if free:
        told.append(f"not {listed(free)}")
    if unasked:
        told.append(f"no such case ran on {listed(unasked)}")
    return "; ".join(told)
