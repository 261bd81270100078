"""Where two programs leave the float model alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import Cause, LayerRow
from qatrix.judge.diagnosis.causes.facts import Facts
from qatrix.judge.diagnosis.layout import Site
from qatrix.judge.diagnosis.nearness import Nearness, of_row
from qatrix.judge.wording import Template
from qatrix.judge.wording import causes as words

# What one layer costs at least, in decibels, before it is named.
_LOST_DB: Final = 10.0
# Quantizing once to eight bits leaves about this much; values that are nearer to the float model count as this near.
_NEAR_DB: Final = 40.0
_LAST: Final = "convert"


@dataclass(frozen=True)
class _Level:
    """How near the nearer program is to the float model, up to the noise of quantizing once.

    The two figures go each its own way, so that a layer that has one of them alone, such as a
    reshape that moves the samples to another axis, hides nothing of the other.
    """

    sqnr: float = _NEAR_DB
    variation: float = _NEAR_DB

    @property
    def least(self) -> float:
        return min(self.sqnr, self.variation)


@dataclass(frozen=True)
class _Loss:
    """What the programs lose at a row, in decibels."""

    site: Site
    row: LayerRow
    before: _Level
    after: _Level

    @property
    def decibels(self) -> float:
        return self.before.least - self.after.least


def shared_loss(facts: Facts) -> Cause | None:
    """The layer at which both converted programs lose most against the float model, None where none loses much."""
    point = facts.points.get(_LAST)
    if point is None:
        return None
    levels: dict[str, _Level] = {}
    losses: list[_Loss] = []
    rows: dict[str, list[LayerRow]] = {}
    for row in point.layers:
        rows.setdefault(row.layer, []).append(row)
    for site in facts.layout.sites.values():
        before = _lowest([levels[key] for key in site.inputs if key in levels])
        levels[site.key] = before
        for row in rows.get(site.name, ()):
            levels[site.key] = _after(row, before)
            losses.append(_Loss(site, row, before, levels[site.key]))
            before = _lowest([before, levels[site.key]])
    worst = max(losses, key=lambda loss: loss.decibels, default=None)
    return None if worst is None or worst.decibels < _LOST_DB else _named(facts, worst)


def nothing_is_left(facts: Facts) -> bool:
    """Whether the noise is as loud as what varies in the outputs of both converted programs."""
    point = facts.points.get(_LAST)
    figures = () if point is None else tuple(point.variation_db.get(name) for name in facts.names)
    return bool(figures) and all(figure is not None and figure <= 0 for figure in figures)


def _lowest(levels: list[_Level]) -> _Level:
    return _Level(
        min((level.sqnr for level in levels), default=_NEAR_DB),
        min((level.variation for level in levels), default=_NEAR_DB),
    )


def _after(row: LayerRow, before: _Level) -> _Level:
    sides = of_row(row)
    return _Level(
        _level([side.sqnr_db for side in sides], before.sqnr),
        # No noise at all is none in what varies either.
        _level([side.sqnr_db if side.sqnr_db == math.inf else side.variation_db for side in sides], before.variation),
    )


def _level(figures: list[float | None], before: float) -> float:
    """How near the nearer program is; as near as before where that is not known."""
    known = [value for value in figures if value is not None and not math.isnan(value)]
    return min(max(known), _NEAR_DB) if known else before


def _named(facts: Facts, loss: _Loss) -> Cause:
    left, right = facts.names
    site = loss.site
    before = loss.before.least
    near = words.INPUT_QUALITY if before < _NEAR_DB else words.INPUT_QUALITY_ABOVE
    after = words.QUALITY_QUANTIZED if loss.row.value == "quantized" else words.QUALITY_COMPUTED
    return Cause(
        name="shared_loss",
        kind="unexplained",
        sentence=_lost(loss, agree=facts.first is None)(left=left, right=right, layer=site.name, op=site.op),
        layer=site.name,
        evidence=(
            near(at=_LAST, layer=site.name, before_db=before),
            *(
                after(pipeline=name, at=_LAST, quality=_told(side))
                for name, side in zip(facts.names, of_row(loss.row))
                if side.sqnr_db is not None
            ),
        ),
    )


def _lost(loss: _Loss, *, agree: bool) -> Template:
    """What the programs lose, and whether they agree besides."""
    if loss.after.variation < loss.after.sqnr:
        return words.AGREE_AND_LOSE_VARIATION if agree else words.BOTH_LOSE_VARIATION
    return words.AGREE_AND_LOSE if agree else words.BOTH_LOSE


def _told(side: Nearness) -> str:
    if side.variation_db is None:
        return words.QUALITY(sqnr_db=side.sqnr_db)
    return words.QUALITY_AND_VARIATION(sqnr_db=side.sqnr_db, variation_db=side.variation_db)
