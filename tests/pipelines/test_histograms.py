"""The memory of histograms: the same range to the bit, searched once; nothing is patched outside its block."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.ao.quantization.observer import HistogramObserver

from qatrix.execute.case import run_case
from qatrix.pipelines import histograms, torchenv
from qatrix.pipelines.histograms import histogram_memory, remembering
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
