"""Tasks that must not end the program that asks for them."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from qatrix.execute.bounded import Bounded, Bounds
from support import unruly_tasks

pytestmark = pytest.mark.processes
SHORT = Bounds(seconds=1.0, total=60.0, memory=2**30)
Task = Callable[[str], str]


def computed(*tasks: tuple[Task, str], bounds: Bounds = SHORT) -> list[tuple[str | None, str | None]]:
    with Bounded(bounds) as process:
        futures = [process.schedule(function, value) for function, value in tasks]
        found = [process.result(future) for future in futures]
    return [(item.text, item.reason) for item in found]


def test_a_text_comes_back() -> None:
    assert computed((unruly_tasks.answer, "yes"), (unruly_tasks.answer, "no")) == [("yes", None), ("no", None)]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (unruly_tasks.hang, "it took more than 1 s"),
        (unruly_tasks.eat, "it took too much memory"),
        (unruly_tasks.leave, "the process that made it died with exit code 7"),
        (unruly_tasks.refuse, "why"),
        (unruly_tasks.stumble, "LookupError: 'why'"),
    ],
)
def test_what_happens_to_one_task_does_not_touch_the_next(task: Task, reason: str) -> None:
    first, second = computed((task, "why"), (unruly_tasks.answer, "yes"))

    assert first == (None, reason.replace("'", ""))
    assert second == ("yes", None)


@pytest.mark.parametrize("task", [unruly_tasks.hang_in_one_operation, unruly_tasks.eat_slowly])
def test_one_long_operation_and_many_small_ones_have_bounds_too(task: Task) -> None:
    (text, reason), after = computed((task, ""), (unruly_tasks.answer, "yes"))

    assert text is None
    assert reason in {"it took more than 1 s", "it took too much memory"}
    assert after == ("yes", None)


def test_all_together_have_a_limit() -> None:
    began = time.monotonic()
    found = computed((unruly_tasks.hang, ""), (unruly_tasks.hang, ""), bounds=Bounds(seconds=60.0, total=1.0))

    assert found == [(None, "all of them together took more than 1 s")] * 2
    assert time.monotonic() - began < 30


def test_an_error_of_many_words_is_cut() -> None:
    ((_, reason),) = computed((unruly_tasks.refuse, "x" * 1000))

    assert reason == f"{'x' * 300} …"
