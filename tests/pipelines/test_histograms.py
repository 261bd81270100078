"""The memory of histograms: the same range to the bit, searched once; nothing is patched outside its block."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.ao.quantization.observer import HistogramObserver

from qatrix.execute.case import run_case
from qatrix.pipelines import histograms, torchenv
from qatrix.pipelines.histograms import histogram_memory, remembering, with_plain_sums
from support.cases import shipped_cases
from support.results import without_times

pytestmark = pytest.mark.torch


def observer_of(seed: int, kind: type[Any] = HistogramObserver, **options: Any) -> Any:
    observer = kind(**options)
    observer(torch.randn(256, generator=torch.Generator().manual_seed(seed)))
    return observer


class Searches:
    """Stands in for the search, and counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, observer: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.count += 1
        return observer.min_val.clone(), observer.max_val.clone()


def test_equal_histograms_are_searched_once_and_every_caller_gets_a_copy() -> None:
    searches = Searches()
    search = remembering(searches)
    first = search(observer_of(1))
    first[0].fill_(7.0)
    again = search(observer_of(1))

    assert searches.count == 1
    assert torch.equal(again[0], observer_of(1).min_val)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda: observer_of(2), id="other values"),
        pytest.param(lambda: observer_of(1, bins=1024), id="other bins"),
        pytest.param(lambda: observer_of(1, dtype=torch.qint32), id="bins of the quantized values"),
        pytest.param(lambda: observer_of(1, type("Child", (HistogramObserver,), {})), id="another class"),
    ],
)
def test_what_the_search_depends_on_is_in_the_key(other: Any) -> None:
    searches = Searches()
    search = remembering(searches)
    search(observer_of(1))
    search(other())

    assert searches.count == 2


def test_a_histogram_that_has_changed_is_searched_again() -> None:
    searches = Searches()
    search = remembering(searches)
    observer = observer_of(1)
    search(observer)
    observer.histogram[0] += 1
    search(observer)

    assert searches.count == 2


def test_the_oldest_histogram_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histograms, "_KEPT", 2)
    searches = Searches()
    search = remembering(searches)
    for seed in (1, 2, 3):
        search(observer_of(seed))
    search(observer_of(3))
    search(observer_of(1))

    assert searches.count == 4


def test_the_parameters_of_every_package_are_the_same_to_the_bit() -> None:
    def parameters() -> list[torch.Tensor]:
        kinds = torchenv.histogram_observers()
        return [value for kind in kinds for value in observer_of(1, kind).calculate_qparams()]

    plain = parameters()
    with histogram_memory():
        first, remembered = parameters(), parameters()

    for values in (first, remembered):
        assert all(torch.equal(one, other) for one, other in zip(plain, values, strict=True))


@pytest.mark.parametrize("kind", torchenv.histogram_observers())
def test_sums_as_numbers_lead_to_the_same_range_to_the_bit(kind: Any) -> None:
    search = with_plain_sums(kind._non_linear_param_search)
    for seed in range(20):
        observer = observer_of(seed, kind, bins=256 if seed % 2 else 2048)
        # A long tail, over which the search goes in many steps.
        observer(torch.randn(256, generator=torch.Generator().manual_seed(seed)).exp())
        plain = kind._non_linear_param_search(observer)

        assert all(map(torch.equal, search(observer), plain))


def test_a_sum_is_compared_as_a_tensor_is() -> None:
    draw = random.Random(0)
    values = torch.tensor([draw.uniform(0, 1000) for _ in range(500)] + [0.0, math.inf, math.nan])
    compared: list[tuple[list[bool], list[bool]]] = []

    def search(observer: Any) -> Any:
        sums = torch.cumsum(observer, dim=0)
        answers: tuple[list[bool], list[bool]] = ([], [])
        for place in range(len(observer)):
            # Around the sum, and nearer than float32 tells apart.
            for near in (float(values.cumsum(0)[place]) * (1 + step * 2**-25) for step in range(-6, 7)):
                answers[0].append(bool(sums[place] < near))
                answers[1].append(bool(sums[place] > near))
        compared.append(answers)
        return values, values

    of_sums: Any = with_plain_sums(search)
    of_sums(values)
    search(values)

    assert compared[0] == compared[1]
    assert {*compared[0][0]} == {True, False}


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda sums: sums.max(), id="a method"),
        pytest.param(lambda sums: (2 * sums)[-1], id="arithmetic"),
        pytest.param(lambda sums: sums[-1] - 1, id="arithmetic of one"),
        pytest.param(lambda sums: sums[1:][0], id="a slice"),
        pytest.param(lambda sums: (sums == 1).sum(), id="equality"),
        pytest.param(lambda sums: torch.tensor(bool(sums[0] == 1)), id="equality of one"),
        pytest.param(lambda sums: torch.tensor(bool(sums[0] != 1)), id="inequality of one"),
        pytest.param(lambda sums: torch.tensor(bool(sums[0])), id="whether one is zero"),
        pytest.param(lambda sums: torch.tensor(len(sums)), id="length"),
    ],
)
def test_a_search_that_needs_its_sums_as_a_tensor_has_them(use: Callable[[Any], torch.Tensor]) -> None:
    seen: list[bool] = []

    def search(observer: Any) -> Any:
        sums = torch.cumsum(observer, dim=0)
        seen.append(isinstance(sums, torch.Tensor))
        return use(sums), observer

    of_sums: Any = with_plain_sums(search)

    assert torch.equal(of_sums(torch.ones(4))[0], use(torch.arange(1.0, 5.0)))
    assert seen == [False, True]


def test_sums_in_another_precision_stay_a_tensor() -> None:
    def search(observer: Any) -> Any:
        sums = torch.cumsum(observer.double(), dim=0)
        assert isinstance(sums, torch.Tensor)
        return sums[0], sums[-1]

    of_sums: Any = with_plain_sums(search)

    assert [float(end) for end in of_sums(torch.ones(3))] == [1, 3]


def test_what_the_search_raises_is_raised_as_ever() -> None:
    def search(observer: Any) -> Any:
        raise ValueError(observer)

    of_sums: Any = with_plain_sums(search)

    with pytest.raises(ValueError, match="of no use") as raised:
        of_sums("of no use")

    assert raised.value.__context__ is None


def test_nothing_is_patched_outside_the_block() -> None:
    kinds: tuple[Any, ...] = torchenv.histogram_observers()
    before = [kind._non_linear_param_search for kind in kinds]
    with histogram_memory():
        inside = [kind._non_linear_param_search for kind in kinds]

    assert [kind._non_linear_param_search for kind in kinds] == before
    assert all(now is not then for now, then in zip(inside, before, strict=True))


def test_a_case_has_the_same_record_both_ways() -> None:
    case, *_ = shipped_cases("linears_wide/linear_softmax/*per_channel_ptq,*")
    plain = run_case(case)
    with histogram_memory():
        memoised = run_case(case)

    assert plain.diagnosis is not None
    assert without_times(memoised) == without_times(plain)
