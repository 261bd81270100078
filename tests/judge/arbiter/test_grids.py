"""Rounding to a grid of integers, against exact fractions."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qatrix.judge.arbiter.grids import Grid
from support.sights import measured

SCALE_OF_CHANNELS = [0.5, 2.0]


def grid(
    scale: float = 0.5, zero_point: int = 0, *, quant_min: int = -128, quant_max: int = 127, axis: int | None = None
) -> Grid:
    return Grid(
        scale=torch.tensor([scale], dtype=torch.float64),
        zero_point=torch.tensor([zero_point], dtype=torch.float64),
        quant_min=quant_min,
        quant_max=quant_max,
        axis=axis,
    )


def per_channel(axis: int) -> Grid:
    scales = torch.tensor(SCALE_OF_CHANNELS, dtype=torch.float64)
    return replace(grid(axis=axis), scale=scales, zero_point=torch.zeros(2, dtype=torch.float64))


def double(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def nearest(value: float, scale: float, zero_point: int, quant_min: int, quant_max: int) -> Fraction:
    """What the nearest integer stands for, without any rounding on the way; Python rounds halves to even, too."""
    code = round(Fraction(value) / Fraction(scale)) + zero_point
    return (min(max(code, quant_min), quant_max) - zero_point) * Fraction(scale)


# Powers of two, so that no quotient is rounded on its way.
SCALES = st.sampled_from([2.0**power for power in range(-8, 4)])
VALUES = st.floats(-1000, 1000, width=32)


@settings(deadline=None)
@given(value=VALUES, scale=SCALES, zero_point=st.integers(-128, 127))
def test_a_value_is_rounded_to_what_its_nearest_integer_stands_for(value: float, scale: float, zero_point: int) -> None:
    rounded = grid(scale, zero_point).rounded(double(value))

    assert Fraction(float(rounded)) == nearest(value, scale, zero_point, -128, 127)


@settings(deadline=None)
@given(value=VALUES, scale=st.floats(2**-7, 16, width=32), zero_point=st.integers(-128, 127))
def test_what_is_rounded_right_misses_nothing(value: float, scale: float, zero_point: int) -> None:
    made, exact = grid(scale, zero_point), double(value)

    assert not made.misses(exact, made.rounded(exact)).any()


@settings(deadline=None)
@given(value=VALUES, scale=SCALES, zero_point=st.integers(-100, 100), steps=st.sampled_from([-2, -1, 1, 2]))
def test_a_neighbor_of_the_nearest_integer_misses_unless_the_value_lies_between(
    value: float, scale: float, zero_point: int, steps: int
) -> None:
    right = nearest(value, scale, zero_point, -128, 127)
    wrong = right + steps * Fraction(scale)
    clipped = min(max(Fraction(value), (-128 - zero_point) * Fraction(scale)), (127 - zero_point) * Fraction(scale))
    between = abs(abs(clipped - wrong) / Fraction(scale) - Fraction(1, 2)) < Fraction(1, 100)

    missed = grid(scale, zero_point).misses(double(value), double(float(wrong)))

    assert bool(missed) or between


@pytest.mark.parametrize(("value", "code"), [(0.25, 0), (0.75, 2), (1.25, 2), (-0.25, 0), (-0.75, -2)])
def test_halves_go_to_even_integers(value: float, code: int) -> None:
    assert float(grid(0.5).rounded(double(value))) == code * 0.5


@pytest.mark.parametrize("found", [0.0, 0.5])
def test_a_value_in_the_middle_may_go_to_either_side(found: float) -> None:
    assert not grid(0.5).misses(double(0.25), double(found)).any()


@pytest.mark.parametrize("found", [0.0, 1.0])
def test_a_value_near_the_middle_may_go_to_one_side_alone(found: float) -> None:
    # The integers 0 and 1 stand for 0 and 1; 0.51 is 0.01 steps from their middle.
    assert bool(grid(1.0).misses(double(0.51), double(found))) == (found == 0.0)


def test_a_value_between_two_integers_is_none_that_an_integer_stands_for() -> None:
    assert grid(0.5).misses(double(1.0), double(1.125)).all()


@pytest.mark.parametrize(("value", "code"), [(1e30, 127), (-1e30, -128), (100.0, 127), (-100.0, -128)])
def test_what_is_beyond_the_range_goes_to_its_end(value: float, code: int) -> None:
    codes = torch.tensor([code])

    assert not grid(0.5).missed_codes(double(value), codes).any()
    assert grid(0.5).missed_codes(double(value), codes - codes.sign()).all()


def test_integers_are_held_against_the_nearest_ones() -> None:
    # 0.5 steps to an integer and a zero point of 3: 1.0 is two steps, so 5.
    missed = grid(0.5, 3).missed_codes(double(1.0, 1.0, 1.0), torch.tensor([4, 5, 6], dtype=torch.int8))

    assert missed.tolist() == [True, False, True]


def test_a_value_that_is_not_finite_has_no_nearest_integer() -> None:
    values = double(float("nan"), float("inf"), -float("inf"))

    assert not grid().missed_codes(values, torch.tensor([0, 127, -128])).any()


@pytest.mark.parametrize("axis", [0, 1])
def test_each_channel_has_its_own_scale(axis: int) -> None:
    value = torch.full((2, 2), 0.8, dtype=torch.float64)

    # 0.8 is nearest to 1.0 in steps of 0.5, and to 0 in steps of 2.
    rounded = per_channel(axis).rounded(value).movedim(axis, 0)

    assert rounded.tolist() == [[1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("axis", "shape", "fits"),
    [(0, (2, 3), True), (1, (2, 3), False), (1, (3, 2), True), (2, (2, 2), False), (None, (2,), False)],
)
def test_a_tensor_fits_if_it_has_as_many_channels_along_the_axis(
    axis: int | None, shape: tuple[int, ...], fits: bool
) -> None:
    assert replace(per_channel(0), axis=axis).fits(torch.zeros(shape)) is fits


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_one_scale_fits_everything(shape: tuple[int, ...]) -> None:
    assert grid().fits(torch.zeros(shape))


def test_a_grid_is_made_from_what_was_measured() -> None:
    made = Grid.of(measured(0.1, 3, ch_axis=1))

    assert made is not None
    assert (made.quant_min, made.quant_max, made.axis) == (-128, 127, 1)
    assert (made.scale.tolist(), made.zero_point.tolist()) == ([0.1], [3.0])


@pytest.mark.parametrize(
    "unknown",
    [
        pytest.param(None, id="nothing measured"),
        pytest.param(replace(measured(), scale=None), id="no scale"),
        pytest.param(replace(measured(), zero_point=None), id="no zero point"),
        pytest.param(replace(measured(), scale=torch.zeros(0)), id="no channels"),
        pytest.param(measured(float("inf")), id="infinite scale"),
        pytest.param(measured(float("nan")), id="NaN"),
        pytest.param(measured(quant_min=None), id="no range"),
        pytest.param(measured(quant_min=-(2**31), quant_max=2**31 - 1), id="finer than float32"),
        pytest.param(measured(dtype="float8_e5m2"), id="floats at unequal distances"),
    ],
)
def test_where_the_integers_are_not_known_there_is_no_grid(unknown: object) -> None:
    assert Grid.of(unknown) is None  # type: ignore[arg-type]  # the kinds of what may be measured


def test_a_grid_is_made_from_the_arguments_of_a_quantize_op() -> None:
    made = Grid.of_op((torch.zeros(2), 0.5, 3, 0, 255, torch.uint8), per_channel=False)

    assert made is not None
    assert (made.quant_min, made.quant_max, made.axis) == (0, 255, None)
    assert (made.scale.tolist(), made.zero_point.tolist()) == ([0.5], [3.0])


def test_a_grid_per_channel_is_made_from_the_arguments_of_a_quantize_op() -> None:
    scales, zeros = torch.tensor(SCALE_OF_CHANNELS), torch.zeros(2, dtype=torch.int64)
    made = Grid.of_op((torch.zeros(3, 2), scales, zeros, 1, -127, 127, torch.int8), per_channel=True)

    assert made is not None
    assert (made.quant_min, made.quant_max, made.axis) == (-127, 127, 1)
    assert made.scale.tolist() == SCALE_OF_CHANNELS


@pytest.mark.parametrize(
    "args",
    [
        pytest.param((torch.zeros(2), 0.5, 0, torch.qint8), id="no range"),
        pytest.param((torch.zeros(2), 0.5, 0, -(2**31), 2**31 - 1, torch.int32), id="finer than float32"),
        pytest.param((torch.zeros(2), 0.5, 0, -448, 448, torch.float8_e4m3fn), id="floats at unequal distances"),
    ],
)
def test_a_quantize_op_whose_integers_are_not_known_has_no_grid(args: tuple[object, ...]) -> None:
    assert Grid.of_op(args, per_channel=False) is None
