"""The longest cases run first."""

from __future__ import annotations

from dataclasses import replace

from qatrix.execute.order import longest_first
from support import specs

SMALL = replace(specs.case("s/small/dim=1"), pattern=specs.pattern("small"))
TIMED = replace(SMALL, case_id="s/timed/dim=1")
QUICK = replace(SMALL, case_id="s/quick/dim=1")
MODEL = replace(SMALL, case_id="s/model/dim=1", pattern=specs.factory("resnet18"))


def test_recorded_durations_decide_and_unknown_models_come_first() -> None:
    seconds = {TIMED.case_id: 7.0, QUICK.case_id: 0.1}

    assert longest_first((QUICK, SMALL, TIMED, MODEL), seconds) == (MODEL, TIMED, SMALL, QUICK)


def test_without_recorded_durations_the_order_of_the_matrix_stays() -> None:
    assert longest_first((QUICK, SMALL, TIMED), {}) == (QUICK, SMALL, TIMED)
