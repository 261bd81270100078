"""How near a value is to the float model's, in all of it and in what varies from sample to sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, cast

from qatrix.diagnoses import LayerRow
from qatrix.judge.numerics import sqnr_db, variation_db
from qatrix.judge.wording import differences as words

# Where both are this near to one another, the noise of quantization itself may turn the order.
DECISIVE_DB: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Decibels against the float model, infinite where there is no noise; None where there is no saying.

    `variation_db` is that of what varies from sample to sample: an offset or a mask that all
    samples share is signal for the SQNR, and tells nothing of them.
    """

    sqnr_db: float | None = None
    variation_db: float | None = None

    @property
    def is_lost(self) -> bool:
        """Whether the noise is at least as loud as what varies, so that little is left of it."""
        return self.variation_db is not None and self.variation_db <= 0


def nearness(reference: object, value: object) -> Nearness:
    """How near a value is to the float model's, which is None where that is not known."""
    if reference is None or value is None:
        return Nearness()
    exact, found = as_tuples(reference), as_tuples(value)
    decibels, note = sqnr_db(exact, found)
    if decibels is None and note is not None and "no quantization noise" in note:
        return Nearness(sqnr_db=math.inf)
    return Nearness(sqnr_db=decibels, variation_db=variation_db(exact, found))


def of_row(row: LayerRow) -> tuple[Nearness, Nearness]:
    """How near both programs are at a layer."""
    return (
        Nearness(sqnr_db=row.left_sqnr_db, variation_db=row.left_variation_db),
        Nearness(sqnr_db=row.right_sqnr_db, variation_db=row.right_variation_db),
    )


def nearer(names: tuple[str, str], left: Nearness, right: Nearness) -> tuple[str | None, str]:
    """Which of two is decisively nearer, by the name of its pipeline, and why.

    Both figures have one noise, so that they order two pipelines alike; the words tell where an
    SQNR is that of an offset.
    """
    if left.sqnr_db is None or right.sqnr_db is None:
        return None, words.NO_FLOAT_VALUE()
    said = words.BOTH(left=names[0], left_quality=_quality(left), right=names[1], right_quality=_quality(right))
    if left.sqnr_db == right.sqnr_db:
        return None, said
    if abs(left.sqnr_db - right.sqnr_db) < DECISIVE_DB:
        return None, words.NOT_DECISIVE(both=said, db=DECISIVE_DB)
    return names[0] if left.sqnr_db > right.sqnr_db else names[1], said


def _quality(near: Nearness) -> str:
    if near.sqnr_db is None or math.isinf(near.sqnr_db):
        return words.EQUALS_FLOAT()
    if not near.is_lost or near.variation_db is None or near.sqnr_db <= 0:
        return words.SQNR(sqnr_db=near.sqnr_db)
    return words.SQNR_OF_OFFSET(sqnr_db=near.sqnr_db, louder_db=-near.variation_db)


def as_tuples(value: object) -> object:
    """A layer's value with tuples for its lists: which of the two an op gives inside of a program is no difference."""
    if type(value) in {list, tuple}:
        return tuple(map(as_tuples, cast("tuple[object, ...]", value)))
    return value
