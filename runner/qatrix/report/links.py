"""Links from one page to another run's report."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote


def report_page(folder: Path, out: Path) -> str | None:
    """The link to the report in a folder from another one; None where there is none."""
    page = folder / "index.html"
    return quote(Path(os.path.relpath(page.resolve(), out.resolve())).as_posix()) if page.is_file() else None
