"""Causes by name: each recogniser looks for one in what the op was given and what it gave, and shows its evidence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from qatrix.diagnoses import Cause
from qatrix.judge.lowering import arithmetic, placing
from qatrix.judge.lowering.facts import DepartureFacts
from qatrix.judge.wording import runtimes as words

Recogniser = Callable[[DepartureFacts], Cause | None]

# What explains more comes first: a value that is in another place needs no arithmetic to explain it.
RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    placing.memory_order_lost,
    arithmetic.saturates_in_16_bits,
    arithmetic.activation_lost,
    arithmetic.range_not_kept,
    arithmetic.rounding_ties,
    arithmetic.steps_add_up,
    arithmetic.accumulates_in_another_order,
    placing.fell_back_to_float,
)


def causes(facts: DepartureFacts) -> tuple[Cause, ...]:
    """The causes that the facts show, else one that is "unexplained"; none is ever guessed."""
    found = tuple(cause for recogniser in RECOGNISERS if (cause := recogniser(facts)) is not None)
    return found or (_unexplained(facts),)


def _unexplained(facts: DepartureFacts) -> Cause:
    layer = facts.departure.layer
    return Cause(
        name="unexplained",
        kind="unexplained",
        sentence=words.UNEXPLAINED(layer=layer, runtime=facts.runtime),
        pipeline=facts.pipeline,
        layer=layer,
        evidence=(facts.departure.sentence,),
        explains_first=True,
    )
