"""Who is closer to the float model, over several cases: two pipelines, or a runtime and its own reference."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.figures import NOT_MEASURED, counted, decibels, listed
from qatrix.report.lowered import lowered_models

# Below this many decibels apart, neither pipeline is called closer to the float model, as in judge.verdict.
_NEARER_DB: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How much closer to the float model one of two pipelines is, over the cases in which both have an SQNR.

    Cases in which a pipeline quantized nothing are left out: it is near to float for that reason.
    `nearer` counts the cases by the name of the pipeline that is at least a decibel closer, or
    "neither"; `median_db` and `most_db` are of the absolute difference of the SQNR.
    """

    nearer: Mapping[str, int]
    median_db: float
    most_db: float


@dataclass(frozen=True, kw_only=True)
class Loss:
    """How much further from the float model a runtime is than its own reference, over the cases in which it leaves it.

    `deployed` is "fx on native (engine qnnpack)"; where decibels are below zero, the runtime is closer.
    """

    deployed: str
    cases: int
    median_db: float
    most_db: float


def spread_of(records: Iterable[Record]) -> Spread | None:
    """The spread over the records; None where no two pipelines have an SQNR."""
    nearer: Counter[str] = Counter()
    apart = []
    for record in records:
        if record.verdict == "unquantized":
            continue
        known = [(item.sqnr_db, name) for name, item in record.pipelines.items() if item.sqnr_db is not None]
        if len(known) < 2:  # noqa: PLR2004 - a comparison takes two
            continue
        (worst, _), *_, (best, name) = sorted(known)
        apart.append(best - worst)
        nearer[name if best - worst >= _NEARER_DB else "neither"] += 1
    if not apart:
        return None
    return Spread(nearer=dict(nearer), median_db=statistics.median(apart), most_db=max(apart))


def losses_of(records: Iterable[Record]) -> tuple[Loss, ...]:
    """What runtimes lose, those that lose most first."""
    lost: dict[str, list[float]] = {}
    for record in records:
        for model in lowered_models(record):
            reference, there = model.outcome.sqnr_db, model.lowering.sqnr_db
            leaves = model.off is not None and model.off.status == "diverged"
            if leaves and reference is not None and there is not None and math.isfinite(reference - there):
                lost.setdefault(model.deployed, []).append(reference - there)
    found = [
        Loss(deployed=name, cases=len(values), median_db=statistics.median(values), most_db=max(values))
        for name, values in lost.items()
    ]
    return tuple(sorted(found, key=lambda loss: -loss.most_db))


def nearer_shortly(spread: Spread | None) -> str:
    """For instance "pt2e 18 of 54", "fx 20, pt2e 3 of 24", "neither of 4"; "–" where nothing was measured."""
    if spread is None:
        return NOT_MEASURED
    wins = [(name, count) for name, count in spread.nearer.items() if name != "neither"]
    told = ", ".join(f"{name} {count}" for name, count in sorted(wins, key=lambda item: (-item[1], item[0])))
    return f"{told or 'neither'} of {sum(spread.nearer.values())}"


def nearer_sentence(spread: Spread) -> str:
    """Who is closer in how many cases, and by how much."""
    parts = [
        f"{name} in {count}" if name != "neither" else f"neither by a decibel in {count}"
        for name, count in sorted(spread.nearer.items(), key=lambda item: (item[0] == "neither", -item[1], item[0]))
    ]
    measured = sum(spread.nearer.values())
    return (
        f"Closer to the float model, of {counted(measured, 'case')} with an SQNR of both: {listed(parts)}; "
        f"the median of the difference is {decibels(spread.median_db)} dB, the most {decibels(spread.most_db)} dB."
    )


def loss_sentence(loss: Loss) -> str:
    """In how many cases a runtime leaves its reference, and what that costs."""
    if loss.cases == 1:
        return f"{loss.deployed} leaves its reference in 1 case, and is {_way(loss.most_db)} the float model than that."
    return (
        f"{loss.deployed} leaves its reference in {counted(loss.cases, 'case')}: in the median it is "
        f"{_way(loss.median_db)} the float model than that, in the worst case {_way(loss.most_db)} it."
    )


def _way(lost_db: float) -> str:
    return f"{decibels(abs(lost_db))} dB {'further from' if lost_db >= 0 else 'closer to'}"
