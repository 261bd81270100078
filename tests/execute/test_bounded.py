"""Tasks that must not end the program that asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from qatrix.execute.bounded import Bounded, Bounds
from support import planted

SHORT = Bounds(seconds=1.0, total=60.0, memory=2**30)
Task = Callable[[str], str]


def computed(*tasks: tuple[Task, str], bounds: Bounds = SHORT) -> list[tuple[str | None, str | None]]:
    with Bounded(bounds) as process:
        futures = [process.schedule(function, value) for function, value in tasks]
        found = [process.result(future) for future in futures]
    return [(item.text, item.reason) for item in found]


def test_a_text_comes_back() -> None:
    assert computed((planted.answer, "yes"), (planted.answer, "no")) == [("yes", None), ("no", None)]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (planted.hang, "it took more than 1 s"),
        (planted.eat, "it took too much memory"),
        (planted.leave, "the process that made it died with exit code 7"),
        (planted.refuse, "why"),
        (planted.stumble, "LookupError: 'why'"),
    ],
)
def test_what_happens_to_one_task_does_not_touch_the_next(task: Task, reason: str) -> None:
    first, second = computed((task, "why"), (planted.answer, "yes"))

    assert first == (None, reason.replace("'", ""))
    assert second == ("yes", None)


@pytest.mark.parametrize("task", [planted.hang_in_one_operation, planted.eat_slowly])
def test_one_long_operation_and_many_small_ones_have_bounds_too(task: Task) -> None:
    (text, reason), after = computed((task, ""), (planted.answer, "yes"))

    assert text is None
    assert reason in {"it took more than 1 s", "it took too much memory"}
    assert after == ("yes", None)


def test_all_together_have_a_limit() -> None:
    began = time.monotonic()
    found = computed((planted.hang, ""), (planted.hang, ""), bounds=Bounds(seconds=60.0, total=1.0))

    assert found == [(None, "all of them together took more than 1 s")] * 2
    assert time.monotonic() - began < 30


def test_an_error_of_many_words_is_cut() -> None:
    ((_, reason),) = computed((planted.refuse, "x" * 1000))

    assert reason == f"{'x' * 300} …"
