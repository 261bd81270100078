"""Where the files that come with the package lie: inside the wheel, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def folder(name: Literal["matrix", "templates"]) -> Path:
    """The packaged folder of that name; the checkout's where the package is installed in place."""
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _CHECKOUT / name
