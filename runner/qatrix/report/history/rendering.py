"""A history as a page and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from qatrix import __version__
from qatrix.report.files import make_folder, write_file
from qatrix.report.history.data import STEADINESS, CaseHistory, History, told
from qatrix.report.html.templating import environment
from qatrix.report.links import report_page
from qatrix.report.vocabulary import VERDICTS
from qatrix.text import printed_json

# Where the report of each run is, as seen from the history; None for one that is not there.
Pages = tuple["str | None", ...]
# Strips that are shown; history.json has all.
_SHOWN: Final = 2000
# Runs that a strip shows, the newest; more would not fit a line.
_RUNS: Final = 60


def write_history(found: History, out: Path) -> tuple[Path, ...]:
    """Write every file of the history into the folder `out`; where they are. Raises OutputError."""
    make_folder(out)
    pages = tuple(report_page(item.path.parent, out) for item in found.runs)
    paths = []
    for name, render in HISTORY_FILES.items():
        write_file(out / name, render(found, pages))
        paths.append(out / name)
    return tuple(paths)


def history_html(found: History, pages: Pages) -> str:
    """One self-contained page, which needs no script; `pages` are the runs' own reports, to which it links."""
    occurring = {stop.verdict for case in found.cases for stop in case.stops if stop is not None}
    return (
        environment()
        .get_template("history.html.j2")
        .render(
            history=found,
            groups={kind: found.of(kind) for kind in STEADINESS},
            pages=pages,
            first=max(0, len(found.runs) - _RUNS),
            shown=_SHOWN,
            told=told,
            legend=[words for verdict, words in reversed(VERDICTS.items()) if verdict in occurring],
            version=__version__,
        )
    )


def history_json(found: History, pages: Pages) -> str:
    """The history as JSON: every case's verdict in every run, and where the runs' own reports are."""
    document: dict[str, Any] = {
        "runs": [
            {
                "id": item.run.id,
                "started": item.run.started,
                "store": str(item.path),
                "cases": len(item.stops),
                "report": page,
            }
            for item, page in zip(found.runs, pages, strict=True)
        ],
        "left_out": found.left_out,
        "cases": [_case_json(case) for case in found.cases],
    }
    return printed_json(json.dumps(document, indent=1, ensure_ascii=False)) + "\n"


def _case_json(case: CaseHistory) -> dict[str, Any]:
    return {
        "case_id": case.case_id,
        "steadiness": case.steadiness,
        "worse": case.is_worse,
        "verdicts": [None if stop is None else stop.verdict for stop in case.stops],
        "unexpected": [None if stop is None else stop.unexpected for stop in case.stops],
        "changes": [
            {
                "run": change.at,
                "since": change.since,
                "kind": change.kind,
                "before": change.before.verdict,
                "after": change.after.verdict,
                "because": change.because,
            }
            for change in case.changes
        ],
    }


HISTORY_FILES: Final[Mapping[str, Callable[[History, Pages], str]]] = {
    "history.html": history_html,
    "history.json": history_json,
}
