"""Numbers side by side are written so that those that differ look different."""

from __future__ import annotations

import math

import pytest

from qatrix.digits import digits_apart


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        pytest.param((), 3, id="nothing"),
        pytest.param((0.5, None, math.inf), 3, id="one_number"),
        pytest.param((0.00709, 0.00709), 3, id="equal"),
        pytest.param((0.001, 0.002), 3, id="far_apart"),
        pytest.param((0.00709123456, 0.00709123461), 9, id="the_ninth_digit"),
        pytest.param((1.0, math.nextafter(1.0, 2.0)), 17, id="neighbours"),
    ],
)
def test_as_few_digits_as_tell_numbers_apart(values: tuple[float | None, ...], digits: int) -> None:
    assert digits_apart(values) == digits


@pytest.mark.parametrize("fewest", [2, 6])
def test_never_fewer_digits_than_asked_for(fewest: int) -> None:
    assert digits_apart((1.0, 2.0), fewest=fewest) == fewest
