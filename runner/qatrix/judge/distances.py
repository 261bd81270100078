"""How far outputs are apart, in words."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.judge.wording import verdicts as words
from qatrix.outcomes import TRAINING_POINTS, Comparison, is_of_reference
from qatrix.text import steps_apart

# The key of a dictionary at the beginning of a place: "['conv.weight'][0, 1]".
_NAMED: Final = re.compile(r"^\['([^']*)'\]")


def differences(apart: Sequence[Comparison]) -> Iterator[str]:
    """Each difference in words; those that training made between two pipelines in one sentence."""
    for key, group in itertools.groupby(apart, lambda item: (item.left, item.right, _is_measured_training(item))):
        first, *more = group
        if key[-1]:
            others = (words.DIFFER_FURTHER(max_abs=item.max_abs, where=item.where, place=_place(item)) for item in more)
            yield "".join((_apart(first), *others))
        else:
            yield from map(_apart, (first, *more))


def _is_measured_training(item: Comparison) -> bool:
    return item.at in TRAINING_POINTS and item.status != "mismatched" and item.max_abs is not None


def _apart(item: Comparison) -> str:
    sides = {"left": item.left, "right": item.right, "where": item.where}
    if item.status == "mismatched" or item.max_abs is None:
        return words.CANNOT_BE_COMPARED(**sides, message=item.message)
    steps = "" if item.max_steps is None else f" ({steps_apart(f'{item.max_steps:.3g}')})"
    if is_of_reference(item):
        return words.DIFFERS_FROM_REFERENCE(side=item.right, max_abs=item.max_abs, steps=steps)
    return words.DIFFER(**sides, max_abs=item.max_abs, place=_place(item), steps=steps)


def _place(item: Comparison) -> str:
    """Which step or parameter of training differs most: " (conv.weight[0, 1])"."""
    if item.at not in TRAINING_POINTS or item.max_abs_at is None:
        return ""
    return " (" + _NAMED.sub(r"\1", item.max_abs_at) + ")"
