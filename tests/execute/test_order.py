"""The longest cases run first, those of one model one after another."""

from __future__ import annotations

from dataclasses import replace

from qatrix.declare.spec import Case
from qatrix.execute.order import Waiting, longest_first
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


def case_of(model: str, number: int = 1) -> Case:
    return replace(specs.case(f"s/{model}/n={number}"), pattern=specs.pattern(model))


def test_a_worker_goes_on_with_the_model_that_it_had() -> None:
    waiting = Waiting((case_of("one"), case_of("other"), case_of("one", 2)))
    taken = [waiting.take(), waiting.take(after=case_of("one")), waiting.take(after=case_of("one"))]

    assert taken == [case_of("one"), case_of("one", 2), case_of("other")]
    assert waiting.take() is None


def test_a_free_worker_takes_a_model_that_no_other_worker_has() -> None:
    waiting = Waiting((case_of("one"), case_of("one", 2), case_of("other")))

    assert waiting.take() == case_of("one")
    assert waiting.take(running=[case_of("one")]) == case_of("other")


def test_a_free_worker_helps_with_the_last_model_that_is_left() -> None:
    waiting = Waiting((case_of("one"), case_of("one", 2)))

    assert waiting.take() == case_of("one")
    assert waiting.take(after=case_of("other"), running=[case_of("one")]) == case_of("one", 2)
