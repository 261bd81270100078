"""The page itself: what goes into its templates."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Final

from markupsafe import Markup

from qatrix import __version__
from qatrix.outcomes import Record
from qatrix.report import plots
from qatrix.report.again import again
from qatrix.report.causes import cause_key
from qatrix.report.declaring import expectation_yaml
from qatrix.report.figures import counted, day
from qatrix.report.frames import ReportData
from qatrix.report.html.details import BLOCK, blocks, is_large, static_facts
from qatrix.report.html.news import looking_js
from qatrix.report.html.rows import rows_json
from qatrix.report.html.templating import environment
from qatrix.report.repro import script_name
from qatrix.report.rules import Rule, rules
from qatrix.resources import folder
from qatrix.text import visible

# Rows of the table in a page of very many cases, all of them unexpected.
LARGE_ROWS: Final = 500
# A line takes about 200 bytes before it is packed.
_DIAGNOSIS_ROWS: Final = 20_000
# A script has about 6,000; all can be copied from here, and those that are left out are files beside the page.
_SCRIPT_LETTERS: Final = 300_000
# Said before the page arrives: what is only to be hidden need not be laid out.
_EARLY: Final = (
    "document.documentElement.classList.add('explorable');"
    "if (location.hash.startsWith('#case=')) document.documentElement.classList.add('one-case')"
)
_EXPLORER: Final = (
    "data",
    "query",
    "state",
    "filters",
    "facets",
    "matrix",
    "table",
    "case",
    "export",
    "keys",
    "page",
)


def index_html(data: ReportData) -> str:
    """The page as text; it needs no network, and for reading no script."""
    facts, large, rows = _drawn_once(case_facts(data)), is_large(data), _static_rows(data)
    static = static_facts(data, facts)
    drawn, undrawn = _run_plots(data)
    code = [_EARLY, _explorer()]
    live = [looking_js(data.run.id)] if data.live else []
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            run=data.run,
            title=run_title(data),
            version=__version__,
            large=large,
            rows=rows,
            static={case_id: Markup(text) for case_id, text in static.items()},  # noqa: S704  # a template's
            plots=drawn,
            plots_note=undrawn,
            rules_of=_rules_of(data),
            code=[Markup(text) for text in code],  # noqa: S704  # our own files
            policy=_policy([*code, *live], sides=large or data.live),
            live=[Markup(text) for text in live],  # noqa: S704  # our own file
            rows_json=None if large else Markup(rows_json(data, sides=False, block=BLOCK)),  # noqa: S704  # escaped there
            blocks=() if large else blocks(data.records, facts),
        )
    )


def run_title(data: ReportData) -> str:
    """What the page is of: "torch 2.15 · 522 cases · 30 Nov 2026"."""
    torch = data.run.environment.packages.get("torch")
    named = [f"torch {visible(torch).removesuffix('.0')}"] if torch else []
    return " · ".join([*named, counted(data.run.declared, "case"), visible(day(data.run.started))])


def _rules_of(data: ReportData) -> dict[str, list[Rule]]:
    """By the key of a cause what its cases have in common; what tells of one case alone says nothing of the others."""
    several = {cause.key for cause in data.causes if cause.has_several}

    def kind_of(record: Record) -> str | None:
        key = cause_key(record)
        return key if key in several else None

    found: dict[str, list[Rule]] = {}
    for rule in rules(data.records, kind_of):
        if len(rule.case_ids) > 1:
            found.setdefault(rule.what, []).append(rule)
    return found


def _run_plots(data: ReportData) -> tuple[plots.RunPlots | None, str | None]:
    """The run's plots, or why they could not be drawn."""
    try:
        return plots.run_plots(data), None
    except Exception as error:  # noqa: BLE001 - a plot must not cost the page all the rest
        return None, f"{type(error).__name__}: {error}"


def case_facts(data: ReportData) -> Callable[[Record], str]:
    """What writes every fact of a case of this run as HTML."""
    module = environment().get_template("report/case.html.j2").module
    explained = _explained(data.records)
    shown = _shown_scripts(data)
    declared = {(item.axis, item.name): item for item in data.excerpts}
    causes = {cause.key: cause for cause in data.causes}

    @cache
    def yaml(named: tuple[tuple[str, str], ...]) -> Markup:
        # Cases by the thousand have the same few declarations.
        return Markup(module.yaml([declared[place] for place in named]))  # type: ignore[attr-defined]  # noqa: S704  # a macro

    def drawn(record: Record) -> str:
        name = script_name(record.case_id) if record.case_id in data.scripts else None
        note = data.script_notes.get(record.case_id)
        named = (("suite", record.suite), *((axis, str(value)) for axis, value in record.axes.items()))
        excerpts = yaml(tuple(place for place in named if place in declared))
        facts = module.facts(  # type: ignore[attr-defined]  # a macro
            record,
            record.case_id in explained,
            name,
            shown.get(record.case_id),
            note,
            excerpts,
            data.past.of(record.case_id),
            expectation_yaml(record, data.run.environment) if record.unexpected else None,
            again(data.run.command, record.case_id) if record.unexpected else None,
            causes.get(cause_key(record) or ""),
        )
        return str(facts)

    def facts(record: Record) -> str:
        try:
            return drawn(record)
        except Exception as error:  # noqa: BLE001 - the details of one case must not cost the page those of the others
            return str(module.undrawn(record, f"{type(error).__name__}: {error}"))  # type: ignore[attr-defined]  # a macro

    return facts


def _drawn_once(facts: Callable[[Record], str]) -> Callable[[Record], str]:
    """The same; what turned out too long to stand in the page as it is has its text ready to be packed."""
    known: dict[str, str] = {}

    def once(record: Record) -> str:
        if record.case_id not in known:
            known[record.case_id] = facts(record)
        return known[record.case_id]

    return once


def _static_rows(data: ReportData) -> tuple[Record, ...]:
    return data.unexpected[:LARGE_ROWS] if is_large(data) else data.records


def _explained(records: Sequence[Record]) -> frozenset[str]:
    """The cases whose diagnosis is shown whole: unexpected ones first, as many as keep the page small."""
    known = sorted((record for record in records if record.diagnosis), key=lambda record: not record.unexpected)
    sizes = accumulate(_size(record) for record in known)
    return frozenset(record.case_id for record, size in zip(known, sizes) if size <= _DIAGNOSIS_ROWS)


def _shown_scripts(data: ReportData) -> dict[str, str]:
    """The scripts that stand in the page, by case id: unexpected cases first, as many as keep the page small."""
    unexpected = {record.case_id for record in data.unexpected}
    known = sorted(data.scripts.items(), key=lambda item: item[0] not in unexpected)
    sizes = accumulate(len(text) for _, text in known)
    return {case_id: text for (case_id, text), size in zip(known, sizes) if size <= _SCRIPT_LETTERS}


def _size(record: Record) -> int:
    """About how many lines the diagnosis of a case takes."""
    points = record.diagnosis.points if record.diagnosis else ()
    lines = sum(len(graph.lines) for point in points for graph in point.graphs)
    return lines + sum(len(point.layers) + len(point.parameters) + len(point.codes) for point in points)


@cache
def _explorer() -> str:
    parts = "".join(_text(f"explorer/{name}.js") for name in _EXPLORER)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


@cache
def _text(name: str) -> str:
    return (folder("templates") / "report" / name).read_text(encoding="utf-8")


def _policy(code: Sequence[str], *, sides: bool) -> str:
    """Nothing is loaded, and no script runs but those of this page; a large report's own files may."""
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in code]
    sources = " ".join([*hashes, *(["'self'", "file:"] if sides else [])])
    return f"default-src 'none'; script-src {sources}; style-src 'unsafe-inline'; img-src data:; form-action 'none'"
