"""A comparison as a page, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Final, TypeVar

from qatrix import __version__
from qatrix.claims import Verdict
from qatrix.outcomes import Record
from qatrix.report.compare.data import Pair, Row, RunComparison
from qatrix.report.explanation import explanation_lines
from qatrix.report.files import make_folder, write_file
from qatrix.report.html.templating import environment
from qatrix.report.links import report_page
from qatrix.report.markup import code, text, within
from qatrix.report.sentences import case_lines, standing
from qatrix.report.support import SupportChange
from qatrix.report.transitions import KINDS, Kind
from qatrix.report.vocabulary import VERDICTS
from qatrix.text import printed_json

T = TypeVar("T")
# Where the report of each run is, as seen from the comparison; None for one that is not there.
Pages = tuple["str | None", ...]
# Cases that are shown one by one in the page; compare.json has all.
_SHOWN: Final = 2000
# Lines that say what is different about a case.
_LINES: Final = 12
# Of a transition that is no trouble, so many cases stand open; more are folded.
_OPENED: Final = 6


def write_comparison(comparison: RunComparison, out: Path) -> tuple[Path, ...]:
    """Write every file of the comparison into the folder `out`; where they are. Raises OutputError."""
    make_folder(out)
    pages = tuple(report_page(side.path.parent, out) for side in comparison.sides)
    paths = []
    for name, render in COMPARE_FILES.items():
        write_file(out / name, render(comparison, pages))
        paths.append(out / name)
    return tuple(paths)


def compare_html(comparison: RunComparison, pages: Pages = ()) -> str:
    """One self-contained page, which needs no script; `pages` are the runs' own reports, to which it links."""
    remarkable = comparison.remarkable
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            remarkable=remarkable[:_SHOWN],
            left_out=max(0, len(remarkable) - _SHOWN),
            suites=_suites(comparison.rows),
            kinds=KINDS,
            occurring={kind for pair in comparison.pairs for kind in pair.counts}
            | set(comparison.overall.counts if comparison.overall else ()),
            lines=_LINES,
            opened=_OPENED,
            why=why,
            supported=[pair for pair in comparison.pairs if pair.support],
            shown=_SHOWN,
            pages=pages or (None,) * len(comparison.sides),
            version=__version__,
        )
    )


def compare_md(comparison: RunComparison, _pages: Pages = ()) -> str:
    """The comparison as GitHub's Markdown, short enough for a job summary, where no link to a file would lead."""
    return "\n".join(_markdown(comparison)) + "\n"


def compare_json(comparison: RunComparison, pages: Pages = ()) -> str:
    """The comparison as JSON: every case of every run, and where the runs' own reports are."""
    document: dict[str, Any] = {
        "runs": [
            {
                "label": side.label,
                "id": side.run.id,
                "started": side.run.started,
                "cases": len(side.records),
                "report": page,
            }
            for side, page in zip_longest(comparison.sides, pages)
        ],
        "notes": comparison.notes,
        "differences": [{"name": item.name, "values": item.values} for item in comparison.differences],
        "pairs": [_pair_json(pair) for pair in comparison.pairs],
        "overall": None if comparison.overall is None else _pair_json(comparison.overall),
        "cases": [
            {
                "case_id": row.case_id,
                "suite": row.suite,
                "verdicts": [None if record is None else record.verdict for record in row.records],
                "unexpected": [None if record is None else record.unexpected for record in row.records],
                "steps": [{"kind": item.kind, "says": item.says} for item in row.steps],
            }
            for row in comparison.rows
        ],
    }
    return printed_json(json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


COMPARE_FILES: Final[Mapping[str, Callable[[RunComparison, Pages], str]]] = {
    "compare.html": compare_html,
    "compare.md": compare_md,
    "compare.json": compare_json,
}


def why(record: Record) -> tuple[str, ...]:
    """Why a case came out as it did: its diagnosis, else its verdict in words and the facts behind it."""
    if record.expected is not None and not record.unexpected:
        return (record.expected.because,)
    if record.diagnosis is not None:
        return tuple(explanation_lines(record.diagnosis))[:4]
    return case_lines(record)[:4]


@dataclass(frozen=True, kw_only=True)
class PatternRow:
    """The cases of a pattern of one suite: how many had which verdict in each run, and went which way to the next."""

    pattern: str
    verdicts: tuple[Mapping[Verdict, int], ...]
    steps: tuple[Mapping[Kind, int], ...]


def _suites(rows: Sequence[Row]) -> dict[str, list[PatternRow]]:
    """Suites and their patterns in the order of the cases."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.suite, _pattern(row)), []).append(row)
    suites: dict[str, list[PatternRow]] = {}
    for (suite, pattern), group in groups.items():
        suites.setdefault(suite, []).append(_pattern_row(pattern, group))
    return suites


def _pattern_row(pattern: str, rows: Sequence[Row]) -> PatternRow:
    runs = zip(*(row.records for row in rows), strict=True)
    steps = zip(*(row.steps for row in rows), strict=True)
    return PatternRow(
        pattern=pattern,
        verdicts=tuple(_tally((record.verdict for record in records if record), VERDICTS) for records in runs),
        steps=tuple(_tally((item.kind for item in items), KINDS) for items in steps),
    )


def _pattern(row: Row) -> str:
    record = next(record for record in reversed(row.records) if record is not None)
    conv = record.axes.get("conv")
    return f"{record.axes.get('pattern', '–')}" + (f" {conv}" if conv else "")


def _tally(values: Iterable[T], order: Iterable[T]) -> dict[T, int]:
    counts = Counter(values)
    return {value: counts[value] for value in order if counts[value]}


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {
        "before": pair.before,
        "after": pair.after,
        "total": pair.total,
        "counts": pair.counts,
        "support": [_support_json(change) for change in pair.support],
    }


def _support_json(change: SupportChange) -> dict[str, Any]:
    return {
        "pattern": change.pattern,
        "quantizer": change.column.quantizer,
        "pipeline": change.column.pipeline,
        "runtime": change.column.runtime,
        "kind": change.kind,
        "before": {"state": change.before.state, "sqnr_db": _figure(change.before.sqnr_db)},
        "after": {"state": change.after.state, "sqnr_db": _figure(change.after.sqnr_db)},
        "says": change.says,
    }


def _figure(value: float | None) -> float | str | None:
    """A number, or the word for one that JSON lacks."""
    return value if value is None or math.isfinite(value) else str(value)


def _markdown(comparison: RunComparison) -> Iterator[str]:
    yield f"## Quantization matrix: {text(' → '.join(side.label for side in comparison.sides))}\n"
    pairs = [*comparison.pairs, *([comparison.overall] if comparison.overall else [])]
    yield f"| | {' | '.join(f'{text(pair.before)} → {text(pair.after)}' for pair in pairs)} |"
    yield f"| --- |{' ---: |' * len(pairs)}"
    for kind, words in KINDS.items():
        if any(kind in pair.counts for pair in pairs):
            yield f"| {words.glyph} {words.word} | {' | '.join(str(pair.counts.get(kind, '')) for pair in pairs)} |"
    yield f"| all cases | {' | '.join(str(pair.total) for pair in pairs)} |\n"
    if comparison.notes:
        yield from (f"- {text(note)}" for note in comparison.notes)
        yield ""
    if comparison.differences:
        yield "### What is different about the runs\n"
        yield f"| | {' | '.join(text(side.label) for side in comparison.sides)} |"
        yield f"| --- |{' --- |' * len(comparison.sides)}"
        for item in comparison.differences:
            yield f"| {text(item.name)} | {' | '.join(text(value) for value in item.values)} |"
        yield ""
    yield from _support_md(comparison)
    yield from _cases_md(comparison)


def _support_md(comparison: RunComparison) -> Iterator[str]:
    for pair in comparison.pairs:
        if pair.support:
            yield f"### What runs in integers, {text(pair.before)} → {text(pair.after)}\n"
            yield from within(pair.support, _change_md, whole="compare.json")
            yield ""


def _change_md(change: SupportChange) -> str:
    return f"- {change.glyph} {text(change.where)}: {text(change.says)}"


def _cases_md(comparison: RunComparison) -> Iterator[str]:
    for kind, rows in groupby(comparison.remarkable, key=lambda row: row.kind):
        members = list(rows)
        yield f"### {KINDS[kind].glyph} {KINDS[kind].word.capitalize()}: {len(members)}\n"
        yield from within(members, lambda row: "\n".join(_case_md(row)), whole="compare.json")
        yield ""


def _case_md(row: Row) -> Iterator[str]:
    yield f"- {code(row.case_id)}: {text(' → '.join(map(standing, row.records)))}"
    for item in row.steps:
        yield from (f"  - {text(line)}" for line in item.says[:4])
