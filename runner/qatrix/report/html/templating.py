"""The templates' environment: autoescaping, and the filters and functions that templates use."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Final

import jinja2
from markupsafe import Markup, escape

from qatrix.outcomes import UNREMARKABLE, PipelineOutcome, Record
from qatrix.report import figures
from qatrix.report.casepage import (
    MOST_CAUSES,
    MOST_SHOWN,
    cause_badge,
    code_reasons,
    failed_checks,
    kept_layers,
    lead,
    ledgers,
    panel,
)
from qatrix.report.causes import figure_sentences, issue_state
from qatrix.report.changes import since_when
from qatrix.report.declaring import declaring_hint
from qatrix.report.explanation import explanation_tables
from qatrix.report.html.links import search_href, support_href, view_href
from qatrix.report.html.numerals import numbers
from qatrix.report.html.rows import NAME_LENGTH, comparison_at, main_line, most_steps
from qatrix.report.lowered import departure_lines, lowered_facts, lowered_line, lowered_models, lowered_tables
from qatrix.report.plots import codes_plot, neighborhood, runtime_neighborhood, sqnr_plot
from qatrix.report.repro import script_name
from qatrix.report.sentences import check_line, comparison_line, pipeline_line, reused_sentence
from qatrix.report.spreads import nearer_shortly
from qatrix.report.support import STATES
from qatrix.report.templates import compiled, templates
from qatrix.report.vocabulary import VERDICTS, impact_words, status_words, tone_of
from qatrix.resources import folder
from qatrix.text import visible

# A page of a thousand cases stays small: what is cut off is whole in results.json.
MESSAGE_LENGTH: Final = 2000
TRACEBACK_LENGTH: Final = 6000
# Longer commands are for nobody's terminal.
_COMMAND_LENGTH: Final = 2000
# A case id breaks between its axes, a plain name between its words.
_BREAKS: Final = re.compile(r"(,|/|_(?=[^,/]*$))")
PIPELINE_FACTS: Final = (
    ("sqnr_db", "SQNR against the float model, dB"),
    ("variation_db", "the same of what varies, dB"),
    ("fake_quantizes", "fake quantizes after prepare"),
    ("quantize_ops", "quantize ops after convert"),
    ("dequantize_ops", "dequantize ops after convert"),
    ("batch_norms_left", "batch norms left after convert"),
)


@cache
def environment() -> jinja2.Environment:
    """The environment of all templates of the page."""
    made = jinja2.Environment(
        loader=templates(),
        bytecode_cache=compiled("page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": figures.number,
        "decibels": figures.decibels,
        "seconds": figures.seconds,
        "duration": figures.duration,
        "moment": figures.moment,
        "time_of_day": figures.time_of_day,
        "since_when": since_when,
        "place": figures.place,
        "tolerance_used": figures.tolerance_used,
        "axis": figures.axis_value,
        "counted": figures.counted,
        "numbers": numbers,
        "code_reasons": code_reasons,
        "anchor": figures.anchor,
        "href": figures.href,
        "clip_name": lambda text: figures.clipped(text, NAME_LENGTH),
        "clip": lambda text: figures.clipped(text, MESSAGE_LENGTH),
        "clip_head": lambda text: figures.clipped_head(text, TRACEBACK_LENGTH),
        "web_link": _web_link,
        "after_because": figures.after_because,
        "as_sentence": figures.as_sentence,
        "breakable": _breakable,
        "reused_sentence": reused_sentence,
        "explanation_tables": explanation_tables,
        "groupby_order": _groupby_order,
        "lowered_facts": lowered_facts,
        "departure_lines": departure_lines,
        "lowered_tables": lowered_tables,
    }
    made.globals |= {
        "verdicts": VERDICTS,
        "unremarkable": UNREMARKABLE,
        "status": _status,
        "tone_of": tone_of,
        "comparison_at": comparison_at,
        "most_steps": most_steps,
        "lowered_models": lowered_models,
        "main_figures": main_figures,
        "main_line": main_line,
        "stage_rows": stage_rows,
        "view_href": view_href,
        "search_href": search_href,
        "impact_words": impact_words,
        "figure_sentences": figure_sentences,
        "nearer_shortly": nearer_shortly,
        "issue_state": issue_state,
        "script_name": script_name,
        "command": command,
        "declaring_hint": declaring_hint,
        "sqnr_plot": sqnr_plot,
        "codes_plot": codes_plot,
        "neighborhood_of": neighborhood,
        "runtime_neighborhood": runtime_neighborhood,
        "kept_layers": kept_layers,
        "lead": lead,
        "ledgers": ledgers,
        "panel": panel,
        "cause_badge": cause_badge,
        "failed_checks": failed_checks,
        "most_causes": MOST_CAUSES,
        "most_shown": MOST_SHOWN,
        "inline": _inline,
        "pipeline_facts": PIPELINE_FACTS,
        "states": STATES,
        "support_href": support_href,
    }
    return made


def main_figures(record: Record) -> tuple[str, ...]:
    """The lines that explain a case which is not as it should be: errors, then differences, then checks.

    What its summary says of an error or a check is not said again.
    """
    absent = [item for item in record.pipelines.values() if item.status != "ok"]
    stopped = [pipeline_line(item) for item in absent if not _says(record, item.error.message if item.error else None)]
    apart = [comparison_line(item) for item in record.comparisons if item.status != "exact"]
    failed = [item for item in record.checks if item.status == "failed"]
    checks = [check_line(item) for item in failed if not (_says(record, item.name) and _says(record, item.message))]
    sqnr = [_sqnr(item) for item in record.pipelines.values() if item.sqnr_db is not None]
    quality = [f"SQNR against the float model: {figures.listed(sqnr)}"] if sqnr else []
    return (*stopped, *apart, *checks, *quality, *map(lowered_line, lowered_models(record)))


def _says(record: Record, message: str | None) -> bool:
    """Whether the summary of a case has the first line of a message, which is all that it takes of one."""
    lines = (message or "").strip().splitlines()
    return bool(lines) and lines[0] in record.summary


def stage_rows(record: Record) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    """Each stage, in the order in which they ran, with the seconds that every pipeline took for it."""
    taken: dict[str, dict[str, float]] = {}
    for name, outcome in record.pipelines.items():
        for stage in outcome.stages:
            times = taken.setdefault(stage.name, {})
            times[name] = times.get(name, 0.0) + stage.seconds
    return tuple((stage, tuple(times.get(name) for name in record.pipelines)) for stage, times in taken.items())


def command(verb: str, case_id: str) -> str | None:
    """The command line about a case; None where its id is too long for one."""
    return f"qatrix {verb} {shlex.quote(case_id)}" if len(case_id) <= _COMMAND_LENGTH else None


def _sqnr(outcome: PipelineOutcome) -> str:
    return f"{outcome.pipeline} {figures.decibels(outcome.sqnr_db)} dB"


@cache
def _status(name: str) -> Markup:
    """A status as a pill; there are few, and every case has some."""
    glyph, word, tone = status_words(name)
    return Markup('<span class="pill {}">{} {}</span>').format(tone, glyph, visible(word))


def _finalize(value: object) -> object:
    """Every printed text with its invisible characters spelled out; markup is ours and stays."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _web_link(link: str | None) -> str | None:
    """The link where it leads to the web; anything else (`javascript:`) is no link."""
    return link if link is not None and link.startswith(("https://", "http://")) else None


def _breakable(name: str) -> Markup:
    """The name, which a narrow column may break where a word of it ends."""
    return Markup(_BREAKS.sub(r"\1<wbr>", str(escape(visible(name)))))  # noqa: S704  # escaped just here


def _groupby_order(rows: Sequence[object], attribute: str) -> list[tuple[object, list[object]]]:
    """Neighbours with the same attribute together, in the order they have: Jinja's groupby would sort."""
    return [(key, list(group)) for key, group in groupby(rows, key=attrgetter(attribute))]


@cache
def _inline(name: str) -> Markup:
    """A stylesheet of ours or the library's, to be put into the page as it is."""
    text = (folder("templates") / name).read_text(encoding="utf-8").partition("/*# sourceMappingURL")[0]
    return Markup(text)  # noqa: S704  # our own file
