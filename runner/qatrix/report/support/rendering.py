"""The support table as GitHub's Markdown and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from qatrix.outcomes import Run
from qatrix.report.figures import NOT_MEASURED
from qatrix.report.markup import text
from qatrix.report.spreadsheets import csv_text
from qatrix.report.support.states import STATES
from qatrix.report.support.table import SupportCell, SupportTable


def support_md(table: SupportTable, *, level: int = 2) -> str:
    """The table as Markdown, a table per quantizer below headings of this level, and what the words mean."""
    return "\n".join(_markdown(table, level))


def support_page(table: SupportTable, run: Run) -> str:
    """A page of its own: the table below a title, and where it was measured."""
    environment = run.environment
    packages = [f"{name} {version}" for name, version in environment.packages.items() if version]
    features = f" ({environment.cpu_words})" if environment.cpu else ""
    where = ", ".join([*packages, f"{environment.processor}{features}"])
    return f"# What runs in integers where\n\n{text(f'Run {run.id}: {where}.')}\n\n{support_md(table)}\n"


def support_csv(table: SupportTable) -> str:
    """A row per cell, numbers as they were measured; an empty cell is "not measured"."""
    rows = [
        {
            "pattern": row.pattern,
            "about": row.about,
            "quantizer": column.quantizer,
            "pipeline": column.pipeline,
            "runtime": column.runtime,
            "state": cell.state,
            "detail": cell.detail,
            "sqnr_db": cell.sqnr_db,
            "steps": cell.steps,
            "cases": len(cell.case_ids),
            "cases_alike": cell.alike,
            "cases_off": cell.off,
            "worst_case": cell.case_ids[0],
        }
        for row in table.rows
        for column, cell in zip(table.columns, row.cells)
        if cell is not None
    ]
    return csv_text(pd.DataFrame(rows, dtype=object))


def _markdown(table: SupportTable, level: int) -> Iterator[str]:
    for quantizer, _ in table.quantizers:
        yield f"{'#' * level} {text(quantizer)}\n"
        yield from _table(table.of(quantizer))
        yield ""
    for state in table.states:
        yield f"- {text(f'{STATES[state].glyph} {STATES[state].word}: {STATES[state].meaning}')}"
    yield f"- {text('dB: SQNR in the runtime against the float model; steps: greatest difference from the reference')}"
    if any(cell.off for cell in table.cells().values()):
        yield f"- {text('≠: further from the reference than the tolerance allows, whatever it computes in')}"


def _table(table: SupportTable) -> Iterator[str]:
    has_about = any(row.about for row in table.rows)
    heads = ["pattern", *(["computes"] if has_about else []), *(column.deployed for column in table.columns)]
    yield _line(heads)
    yield _line(["---"] * len(heads), plain=True)
    for row in table.rows:
        about = [row.about or ""] if has_about else []
        yield _line([row.pattern, *about, *map(_told, row.cells)])


def _line(cells: Sequence[str], *, plain: bool = False) -> str:
    return f"| {' | '.join(cell if plain else text(cell) for cell in cells)} |"


def _told(cell: SupportCell | None) -> str:
    """For instance "✓ integers, 36.2 dB, 1 step off (3 cases)"; "–" where there is no case."""
    if cell is None:
        return NOT_MEASURED
    return f"{cell.sentence} ({cell.counts})" if cell.counts else cell.sentence
