"""A comparison as a page, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from qatrix import __version__
from qatrix.outcomes import Record
from qatrix.report.compare.data import Pair, RunComparison
from qatrix.report.compare.transitions import KINDS
from qatrix.report.explanation import explanation_lines
from qatrix.report.files import make_folder, write_file
from qatrix.report.html.templating import environment
from qatrix.report.markup import code, text, within
from qatrix.report.sentences import case_lines
from qatrix.report.vocabulary import VERDICTS, tone_of

# Cases that are shown one by one in the page; compare.json has all.
_SHOWN: Final = 2000
# Lines that say what is different about a case.
_LINES: Final = 12


def write_comparison(comparison: RunComparison, out: Path) -> tuple[Path, ...]:
    """Write every file of the comparison into the folder `out`; where they are. Raises OutputError."""
    make_folder(out)
    paths = []
    for name, render in COMPARE_FILES.items():
        write_file(out / name, render(comparison))
        paths.append(out / name)
    return tuple(paths)


def compare_html(comparison: RunComparison) -> str:
    """One self-contained page, which needs no script."""
    remarkable = comparison.remarkable
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            comparison=comparison,
            remarkable=remarkable[:_SHOWN],
            left_out=max(0, len(remarkable) - _SHOWN),
            suites=[
                (suite, _by_pattern(rows))
                for suite, rows in groupby(sorted(comparison.rows, key=_group), key=lambda row: row.suite)
            ],
            kinds=KINDS,
            occurring={kind for pair in comparison.pairs for kind in pair.counts}
            | set(comparison.overall.counts if comparison.overall else ()),
            lines=_LINES,
            why=why,
            tone_of=tone_of,
            version=__version__,
        )
    )


def compare_md(comparison: RunComparison) -> str:
    """The comparison as GitHub's Markdown, short enough for a job summary."""
    return "\n".join(_markdown(comparison)) + "\n"


def compare_json(comparison: RunComparison) -> str:
    """The comparison as JSON: every case of every run."""
    document: dict[str, Any] = {
        "runs": [
            {"label": side.label, "id": side.run.id, "started": side.run.started, "cases": len(side.records)}
            for side in comparison.sides
        ],
        "differences": [{"name": item.name, "values": item.values} for item in comparison.differences],
        "pairs": [_pair_json(pair) for pair in comparison.pairs],
        "overall": None if comparison.overall is None else _pair_json(comparison.overall),
        "cases": [
            {
                "case_id": row.case_id,
                "suite": row.suite,
                "verdicts": [None if record is None else record.verdict for record in row.records],
                "steps": [{"kind": item.kind, "says": item.says} for item in row.steps],
            }
            for row in comparison.rows
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


COMPARE_FILES: Final[Mapping[str, Callable[[RunComparison], str]]] = {
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


def _group(row: Any) -> tuple[str, str]:
    return row.suite, _pattern(row)


def _pattern(row: Any) -> str:
    record = next(record for record in reversed(row.records) if record is not None)
    conv = record.axes.get("conv")
    return f"{record.axes.get('pattern', '–')}" + (f" {conv}" if conv else "")


def _by_pattern(rows: Any) -> list[tuple[str, list[list[tuple[str, int]]], list[list[tuple[str, int]]]]]:
    """For each pattern of a suite, its verdicts in every run and its transitions from each to the next, counted."""
    found = []
    for pattern, members in groupby(rows, key=_pattern):
        group = list(members)
        verdicts = [
            _tally([row.records[place].verdict if row.records[place] else "" for row in group], list(VERDICTS))
            for place in range(len(group[0].records))
        ]
        steps = [_tally([row.steps[place].kind for row in group], list(KINDS)) for place in range(len(group[0].steps))]
        found.append((pattern, verdicts, steps))
    return found


def _tally(values: list[str], order: list[Any]) -> list[tuple[str, int]]:
    return [(name, values.count(name)) for name in order if name in values]


def _pair_json(pair: Pair) -> dict[str, Any]:
    return {"before": pair.before, "after": pair.after, "total": pair.total, "counts": pair.counts}


def _markdown(comparison: RunComparison) -> Iterator[str]:
    yield f"## Quantization matrix: {text(' → '.join(side.label for side in comparison.sides))}\n"
    pairs = [*comparison.pairs, *([comparison.overall] if comparison.overall else [])]
    yield f"| | {' | '.join(f'{text(pair.before)} → {text(pair.after)}' for pair in pairs)} |"
    yield f"| --- |{' ---: |' * len(pairs)}"
    for kind, words in KINDS.items():
        if any(kind in pair.counts for pair in pairs):
            yield f"| {words.glyph} {words.word} | {' | '.join(str(pair.counts.get(kind, '')) for pair in pairs)} |"
    yield f"| all cases | {' | '.join(str(pair.total) for pair in pairs)} |\n"
    if comparison.differences:
        yield "### What is different about the runs\n"
        yield f"| | {' | '.join(text(side.label) for side in comparison.sides)} |"
        yield f"| --- |{' --- |' * len(comparison.sides)}"
        for item in comparison.differences:
            yield f"| {text(item.name)} | {' | '.join(text(value) for value in item.values)} |"
        yield ""
    yield from _cases_md(comparison)


def _cases_md(comparison: RunComparison) -> Iterator[str]:
    for kind, rows in groupby(comparison.remarkable, key=lambda row: row.kind):
        members = list(rows)
        yield f"### {KINDS[kind].glyph} {KINDS[kind].word.capitalize()}: {len(members)}\n"
        yield from within(members, lambda row: "\n".join(_case_md(row)), whole="compare.json")
        yield ""


def _case_md(row: Any) -> Iterator[str]:
    verdicts = [VERDICTS[record.verdict].word if record else "–" for record in row.records]
    yield f"- {code(row.case_id)}: {text(' → '.join(verdicts))}"
    for item in row.steps:
        yield from (f"  - {text(line)}" for line in item.says[:4])
