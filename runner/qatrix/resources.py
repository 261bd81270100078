"""Where files lie that are not the user's: those that come with the package, and those that may be lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def folder(name: Literal["matrix", "templates"]) -> Path:
    """The packaged folder of that name; the checkout's where the package is installed in place."""
    return (_CHECKOUT if is_checkout() else _PACKAGE) / name


def is_checkout() -> bool:
    """Whether the package is installed in place, its folders beside it."""
    return not (_PACKAGE / "templates").is_dir()


def cache_folder() -> Path:
    """qatrix/ in $XDG_CACHE_HOME, or in ~/.cache where that is not an absolute path; RuntimeError without a home."""
    told = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (told if told.is_absolute() else Path.home() / ".cache") / "qatrix"
