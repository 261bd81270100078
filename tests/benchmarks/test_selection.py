"""Which cases are measured."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.selection import CONV_BN, TWIN, as_options, sampled, shipped, small_suites

pytestmark = pytest.mark.slow


def test_the_cases_that_are_measured_exist_and_differ_in_their_quantizer_alone() -> None:
    (case,), (twin,) = shipped(CONV_BN), shipped(TWIN)

    assert (case.pattern, case.params, case.seed) == (twin.pattern, twin.params, twin.seed)
    assert case.quantizer != twin.quantizer


def test_the_small_suites_are_all_but_whole_models() -> None:
    whole = {case.suite for case in shipped() if case.pattern.factory is not None}

    assert whole
    assert not whole & set(small_suites())


@pytest.mark.parametrize("each", [1, 2, 3, 1000])
def test_a_sample_has_some_of_every_suite_and_no_more_than_asked_for(each: int) -> None:
    cases = shipped()
    sample = Counter(case.suite for case in sampled(cases, each=each))

    assert set(sample) == {case.suite for case in cases}
    assert max(sample.values()) <= each


def test_a_sample_large_enough_is_all() -> None:
    assert sampled(shipped(), each=1000) == shipped()


def test_the_options_of_a_sample_select_it_and_nothing_else() -> None:
    sample = sampled(shipped(), each=1)

    assert set(as_options(sample)[::2]) == {"--case"}
    assert {case.case_id for case in shipped(*as_options(sample)[1::2])} == {case.case_id for case in sample}
