"""Stages are timed and named, also one within another."""

from __future__ import annotations

import time

import pytest

from qatrix.execute.clock import StageClock, StageFailed


def test_a_clock_adds_up_stages_and_keeps_their_order() -> None:
    clock = StageClock()
    for stage in ("build", "forward", "build"):
        with clock(stage):
            pass

    assert [item.name for item in clock.times()] == ["build", "forward"]


def test_a_stage_that_raises_is_timed_too() -> None:
    clock = StageClock()
    with pytest.raises(StageFailed) as caught, clock("prepare"):
        raise KeyError("x")  # noqa: EM101 - the message is the key

    assert caught.value.stage == "prepare"
    assert isinstance(caught.value.__cause__, KeyError)
    assert [item.name for item in clock.times()] == ["prepare"]


def test_a_stage_within_another_is_timed_by_itself_alone() -> None:
    clock = StageClock()
    with clock("train"), clock("average"):
        time.sleep(0.02)

    assert clock.seconds["average"] >= 0.02
    assert clock.seconds["train"] < clock.seconds["average"]


def test_a_stage_within_another_is_the_one_that_raised() -> None:
    clock = StageClock()
    with pytest.raises(StageFailed) as caught, clock("train"), clock("average"):
        raise KeyError("x")  # noqa: EM101 - the message is the key

    assert caught.value.stage == "average"
    assert isinstance(caught.value.__cause__, KeyError)
