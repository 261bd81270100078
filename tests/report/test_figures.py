"""Tests of report.figures."""

from __future__ import annotations

import pytest

from qatrix.expressions import Value
from qatrix.report import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (3.0, "3"),
        (0.08312, "0.0831"),
        (4.77e-7, "4.77e-07"),
        (2e9, "2e+09"),
        (float("nan"), "NaN"),
        (float("inf"), "∞"),
        (float("-inf"), "-∞"),
    ],
)
def test_a_number_has_three_digits_and_what_was_not_measured_is_a_dash(value: float | None, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.041, "0.04 s"),
        (4.2, "4.2 s"),
        (59.96, "60.0 s"),
        (125, "2 min 5 s"),
        (7800, "2 h 10 min"),
        (float("nan"), "NaN s"),
    ],
)
def test_a_duration_is_in_words(value: float, text: str) -> None:
    assert figures.duration(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (None, "–"), (1, "1"), (1e-5, "1e-05"), ("conv", "conv"), ((1, (2, False)), "[1, [2, false]]")],
)
def test_an_axis_value_is_written_as_yaml_spells_it(value: Value, text: str) -> None:
    assert figures.axis_value(value) == text


@pytest.mark.parametrize(
    ("started", "text"),
    [("2026-08-27T12:15:59+02:00", "2026-08-27 10:15 UTC"), ("some day", "some day")],
)
def test_a_moment_is_in_utc(started: str, text: str) -> None:
    assert figures.moment(started) == text


def test_clipped_text_says_how_much_is_missing() -> None:
    assert figures.clipped("x" * 12, 10) == "xxxxxxxxxx … (2 more characters in results.json)"
    assert figures.clipped_head("first, last", 4) == "(7 more characters in results.json) …\nlast"
    assert figures.clipped("short", 10) == figures.clipped_head("short", 10) == "short"


@pytest.mark.parametrize(("items", "text"), [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_a_list_reads_as_a_sentence(items: list[str], text: str) -> None:
    assert figures.listed(items) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (None, "–"),
        ("['step 5']", "step 5"),
        ("[0]['logits'][1, 2]", "[0] logits [1, 2]"),
        ("['conv.weight'][0, 1]", "conv.weight [0, 1]"),
        ("[1, 2]", "[1, 2]"),
        ("['loss'][]", "loss"),
        ("[]", "the only value"),
    ],
)
def test_a_place_is_told_as_its_reader_knows_it(at: str | None, text: str) -> None:
    assert figures.place(at) == text


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (None, "–"),
        (0.0, "0 %"),
        (0.42, "42 %"),
        (1.0, "100 %"),
        (425.0, "425 times"),
        (42_500.0, "42,500 times"),
        (3e9, "over 1,000,000 times"),
        (float("inf"), "more than any"),
    ],
)
def test_how_much_of_a_tolerance_is_used_is_told_without_powers_of_ten(factor: float | None, text: str) -> None:
    assert figures.tolerance_used(factor) == text


def test_a_day_and_a_time_are_in_utc() -> None:
    assert figures.day("2026-11-28T23:30:00-02:00") == "29 Nov 2026"
    assert figures.time_of_day("2026-11-28T23:30:00-02:00") == "01:30 UTC"
    assert figures.day("some day") == "some day"
