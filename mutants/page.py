"""The table of the documentation, between two markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from mutants import scores
from mutants.campaign import Result

BEGIN: Final = "<!-- mutants: begin -->"
END: Final = "<!-- mutants: end -->"


def written(text: str, results: Sequence[Result]) -> str:
    """The page with the scores of these results in it; raises ValueError where it has no place for them."""
    before, begins, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not begins or not ends:
        msg = f"the page has no lines {BEGIN} and {END}, between which the table goes"
        raise ValueError(msg)
    sentences = "".join(f"- {sentence}\n" for sentence in scores.summary(results))
    left = "".join(f"- {line}\n" for line in scores.survivors(results))
    listed = f"Not killed:\n\n{left}" if left else "None was left.\n"
    return f"{before}{BEGIN}\n\n{scores.table(results)}\n{sentences}\n{listed}\n{END}{after}"
