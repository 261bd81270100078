"""How many digits tell numbers apart that stand side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

# What a number is written with where nothing asks for more.
FEWEST: Final = 3
# As many as tell any two floats apart.
_MOST: Final = 17


def digits_apart(values: Iterable[float | None], *, fewest: int = FEWEST) -> int:
    """The fewest significant digits, at least `fewest`, with which numbers that differ are written differently."""
    known = {value for value in values if value is not None and math.isfinite(value)}
    for digits in range(fewest, _MOST):
        if len({f"{value:.{digits}g}" for value in known}) == len(known):
            return digits
    return _MOST
