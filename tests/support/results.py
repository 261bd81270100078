"""What a run wrote, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def results(folder: Path) -> dict[str, Any]:
    """The content of a run's results.json."""
    content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return content
