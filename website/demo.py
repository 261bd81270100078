"""A report to click through: the page of a run, as `qatrix run` wrote it, and the page that leads there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from qatrix.report.figures import moment
from website.generated import rendered

_PAGE: Final = "index.html"
_RESULTS: Final = "results.json"
# What the report's page leads to.
_BESIDE: Final = ("results.csv", _RESULTS, "junit.xml")
_FOLDERS: Final = ("data", "repro", "scripts")


def files(run: Path) -> Iterator[tuple[str, Path]]:
    """The files of the report, by their paths below its folder; none where there is no report."""
    if not (run / _PAGE).is_file():
        return
    for name in (_PAGE, *_BESIDE):
        if (run / name).is_file():
            yield name, run / name
    for folder in _FOLDERS:
        for path in sorted((run / folder).rglob("*")):
            if path.is_file() and path.suffix != ".md":
                yield path.relative_to(run).as_posix(), path


def page(run: Path) -> str:
    """The page, which leads to the report, or says how to make one."""
    return rendered("demo.md.j2", run=_told(run) if (run / _PAGE).is_file() else None)


def _told(run: Path) -> dict[str, Any]:
    """When the run was, and on what."""
    path = run / _RESULTS
    if not path.is_file():
        return {}
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["run"]
    return {"started": moment(told["started"]), "declared": told["declared"], "torch": told["environment"]["torch"]}
