"""Where two programs that agree leave the float model alike."""

from __future__ import annotations

import math
from typing import Final

from qatrix.diagnoses import Cause, LayerRow
from qatrix.judge.diagnosis.causes.facts import Facts
from qatrix.judge.diagnosis.layout import Site

# What one layer costs at least, in decibels, before it is named.
_LOST_DB: Final = 10.0
# Quantizing once to eight bits leaves about this much; values that are nearer to the float model count as this near.
_NEAR_DB: Final = 40.0
_LAST: Final = "convert"


def shared_loss(facts: Facts) -> Cause | None:
    """The layer at which both converted programs lose most against the float model, None where none loses much."""
    point = facts.points.get(_LAST)
    if point is None:
        return None
    levels: dict[str, float] = {}
    worst: tuple[float, Site, LayerRow, float] | None = None
    rows: dict[str, list[LayerRow]] = {}
    for row in point.layers:
        rows.setdefault(row.layer, []).append(row)
    for site in facts.layout.sites.values():
        before = min((levels[key] for key in site.inputs if key in levels), default=_NEAR_DB)
        levels[site.key] = before
        for row in rows.get(site.name, ()):
            levels[site.key] = _level(row, before)
            lost = before - levels[site.key]
            if lost >= _LOST_DB and (worst is None or lost > worst[0]):
                worst = (lost, site, row, before)
            before = min(before, levels[site.key])
    return None if worst is None else _named(facts, *worst[1:])


def _level(row: LayerRow, before: float) -> float:
    """How near the nearer program is to the float model; as near as before where that is not known."""
    known = [value for value in (row.left_sqnr_db, row.right_sqnr_db) if value is not None and not math.isnan(value)]
    return min(max(known), _NEAR_DB) if known else before


def _named(facts: Facts, site: Site, row: LayerRow, before: float) -> Cause:
    left, right = facts.names
    what = "quantizing its output" if row.value == "quantized" else "computing it"
    near = (
        f"{before:.1f} dB from the float model"
        if before < _NEAR_DB
        else f"nearer to the float model than {before:g} dB"
    )
    sides = ((left, row.left_sqnr_db), (right, row.right_sqnr_db))
    return Cause(
        name="shared_loss",
        kind="unexplained",
        sentence=f"{left} and {right} agree, and both lose most against the float model at {site.name}, {site.op}",
        layer=site.name,
        evidence=(
            f"at {_LAST}: what goes into {site.name} is {near}",
            *(f"{who} at {_LAST}: {value:.1f} dB after {what}" for who, value in sides if value is not None),
        ),
    )
