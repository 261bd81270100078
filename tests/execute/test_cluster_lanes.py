"""Batches: every case is in one, those of a model stay together, and they shrink towards the end."""

from __future__ import annotations

import pytest

from qatrix.declare.spec import Case
from qatrix.execute.cluster.lanes import Lane, Needs, lanes
from support import specs


def case_of(number: int, *, model: str = "conv_bn", device: str = "cpu") -> Case:
    named = specs.pattern(model) if model != "resnet18" else specs.factory(model)
    return specs.case(f"suite/{model}/n={number},device={device}", pattern=named, device=specs.device(device))


def drained(lane: Lane, slots: int) -> list[list[Case]]:
    batches = []
    while lane:
        batches.append(lane.take(slots))
    return batches


@pytest.mark.parametrize("slots", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [1, 8, 9, 500])
def test_every_case_is_in_one_batch(count: int, slots: int) -> None:
    cases = [case_of(number) for number in range(count)]

    batches = drained(Lane.of(cases, Needs()), slots)

    assert [case for batch in batches for case in batch] == cases


def test_batches_shrink_towards_the_end_but_stay_worth_a_worker() -> None:
    sizes = [len(batch) for batch in drained(Lane.of([case_of(number) for number in range(100)], Needs()), 2)]

    assert sizes == [33, 22, 15, 10, 8, 8, 4]


def test_cases_of_a_model_stay_together() -> None:
    models = ["conv", "conv_bn", "conv", "conv_bn"] * 4
    first = Lane.of([case_of(number, model=model) for number, model in enumerate(models)], Needs()).take(2)

    assert [case.pattern.name for case in first] == ["conv"] * 8


def test_a_whole_model_counts_as_many_small_cases() -> None:
    cases = [case_of(0, model="resnet18"), *(case_of(number) for number in range(1, 9))]

    assert [len(batch) for batch in drained(Lane.of(cases, Needs()), 2)] == [1, 8]


def test_a_suspect_runs_again_by_itself_and_the_others_together() -> None:
    lane = Lane.of([case_of(number) for number in range(4)], Needs())
    first, second, *rest = lane.take(1)
    lane.give_back([first, second], rest)

    assert drained(lane, 1) == [[first], [second], rest]


@pytest.mark.parametrize(
    ("device", "gpus", "needed"),
    [
        pytest.param("cpu", 1.0, 0, id="a case of the CPU"),
        pytest.param("cuda", 1.0, 1, id="a case of a GPU"),
        pytest.param("cuda:1", 2.0, 2, id="a case of the second GPU"),
        pytest.param("cuda", 0.0, 0, id="a cluster without GPU"),
    ],
)
def test_a_case_needs_as_many_gpus_as_its_device_counts(device: str, gpus: float, needed: int) -> None:
    (lane,) = lanes([case_of(0, device=device)], gpus=gpus)

    assert lane.needs == Needs(gpus=needed)
