"""The report page: one self-contained HTML file, rendered from templates that escape everything."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import Final

import jinja2
from markupsafe import Markup, escape

from qatrix import __version__
from qatrix.outcomes import Comparison, PipelineOutcome, Record
from qatrix.report import figures
from qatrix.report.explanation import explanation_lines, explanation_tables
from qatrix.report.frames import ReportData
from qatrix.report.plots import sqnr_plot
from qatrix.report.sentences import check_line, comparison_line, pipeline_line, reused_sentence
from qatrix.report.vocabulary import VERDICTS, status_words, tone_of
from qatrix.resources import folder

# A page of a thousand cases stays small: what is cut off is whole in results.json.
NAME_LENGTH: Final = 300
MESSAGE_LENGTH: Final = 2000
TRACEBACK_LENGTH: Final = 4000
# A line takes about 200 bytes.
_DIAGNOSIS_ROWS: Final = 5000


def index_html(data: ReportData) -> str:
    """The page as text; it needs no network, no script and no other file."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(data=data, run=data.run, version=__version__, explained=_explained(data.records))
    )


def _explained(records: Sequence[Record]) -> frozenset[str]:
    """The cases whose diagnosis is shown whole: unexpected ones first, as many as keep the page small."""
    known = sorted((record for record in records if record.diagnosis), key=lambda record: not record.unexpected)
    sizes = itertools.accumulate(_size(record) for record in known)
    return frozenset(record.case_id for record, size in zip(known, sizes) if size <= _DIAGNOSIS_ROWS)


def _size(record: Record) -> int:
    """About how many lines the diagnosis of a case takes."""
    points = record.diagnosis.points if record.diagnosis else ()
    lines = sum(len(graph.lines) for point in points for graph in point.graphs)
    return lines + sum(len(point.layers) + len(point.parameters) + len(point.codes) for point in points)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": figures.number,
        "decibels": figures.decibels,
        "seconds": figures.seconds,
        "duration": figures.duration,
        "moment": figures.moment,
        "axis": figures.axis_value,
        "counted": figures.counted,
        "anchor": figures.anchor,
        "href": figures.href,
        "clip_name": lambda text: figures.clipped(text, NAME_LENGTH),
        "clip": lambda text: figures.clipped(text, MESSAGE_LENGTH),
        "clip_head": lambda text: figures.clipped_head(text, TRACEBACK_LENGTH),
        "web_link": _web_link,
        "breakable": _breakable,
        "reused_sentence": reused_sentence,
        "explanation_lines": explanation_lines,
        "explanation_tables": explanation_tables,
        "groupby_order": _groupby_order,
    }
    environment.globals |= {
        "verdicts": VERDICTS,
        "status_words": status_words,
        "tone_of": tone_of,
        "comparisons_at": comparisons_at,
        "main_figures": main_figures,
        "sqnr_plot": sqnr_plot,
        "inline": _inline,
        "pipeline_facts": PIPELINE_FACTS,
    }
    return environment


# A case id breaks between its axes, a plain name between its words.
_BREAKS: Final = re.compile(r"(,|/|_(?=[^,/]*$))")
PIPELINE_FACTS: Final = (
    ("sqnr_db", "SQNR against the float model, dB"),
    ("fake_quantizes", "fake quantizes after prepare"),
    ("quantize_ops", "quantize ops after convert"),
    ("dequantize_ops", "dequantize ops after convert"),
    ("batch_norms_left", "batch norms left after convert"),
)


def comparisons_at(record: Record, point: str) -> Comparison | None:
    """The comparison at the point that says most: of several pairs, the one furthest apart."""
    found = [item for item in record.comparisons if item.at == point]
    return max(found, key=lambda item: float("inf") if item.max_abs is None else item.max_abs, default=None)


def main_figures(record: Record) -> tuple[str, ...]:
    """The lines that explain a case which is not as it should be: errors, then differences, then checks."""
    stopped = [pipeline_line(item) for item in record.pipelines.values() if item.status != "ok"]
    apart = [comparison_line(item) for item in record.comparisons if item.status != "exact"]
    checks = [check_line(item) for item in record.checks if item.status == "failed"]
    sqnr = [_sqnr(item) for item in record.pipelines.values() if item.sqnr_db is not None]
    return (*stopped, *apart, *checks, *([f"SQNR against the float model: {figures.listed(sqnr)}"] if sqnr else []))


def _sqnr(outcome: PipelineOutcome) -> str:
    return f"{outcome.pipeline} {figures.decibels(outcome.sqnr_db)} dB"


def _finalize(value: object) -> object:
    """Every printed text with its invisible characters spelled out; markup is ours and stays."""
    return figures.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _web_link(link: str | None) -> str | None:
    """The link where it leads to the web; anything else (`javascript:`) is no link."""
    return link if link is not None and link.startswith(("https://", "http://")) else None


def _breakable(name: str) -> Markup:
    """The name, which a narrow column may break where a word of it ends."""
    return Markup(_BREAKS.sub(r"\1<wbr>", str(escape(figures.visible(name)))))  # noqa: S704  # escaped just here


def _groupby_order(rows: Sequence[object], attribute: str) -> list[tuple[object, list[object]]]:
    """Neighbours with the same attribute together, in the order they have: Jinja's groupby would sort."""
    return [(key, list(group)) for key, group in groupby(rows, key=attrgetter(attribute))]


@cache
def _inline(name: str) -> Markup:
    """A stylesheet or script of ours, to be put into the page as it is."""
    return Markup((folder("templates") / name).read_text(encoding="utf-8"))  # noqa: S704  # our own file
