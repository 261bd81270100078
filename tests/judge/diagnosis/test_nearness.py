"""How near a value is to the float model's, and which of two is nearer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from qatrix.judge.diagnosis.nearness import Nearness, nearer, nearness

pytestmark = pytest.mark.torch
NAMES = ("left", "right")


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers)


@pytest.mark.parametrize(
    ("left", "right", "winner", "why"),
    [
        pytest.param(30.0, 20.0, "left", "left SQNR 30.0 dB", id="left"),
        pytest.param(20.0, math.inf, "right", "right equals the float model", id="right_equals"),
        pytest.param(20.0, 20.5, None, "less than 1 dB apart", id="too_near"),
        pytest.param(math.inf, math.inf, None, "equals the float model", id="both_equal"),
        pytest.param(None, 20.0, None, "no value to compare", id="no_value"),
    ],
)
def test_the_nearer_pipeline_is_named_only_where_float_decides(
    left: float | None, right: float | None, winner: str | None, why: str
) -> None:
    found, because = nearer(NAMES, Nearness(sqnr_db=left), Nearness(sqnr_db=right))

    assert found == winner
    assert why in because


@pytest.mark.parametrize(
    ("reference", "value", "found"),
    [
        pytest.param(values(1.0, 2.0), values(1.0, 2.0), (math.inf, None), id="no noise"),
        pytest.param(None, values(1.0), (None, None), id="no reference"),
        pytest.param(values(1.0), values(1.0, 2.0), (None, None), id="another shape"),
        pytest.param(values(1.0), values(1.1), (20.0, None), id="one sample"),
        pytest.param(values(99.0, 101.0), values(100.0, 100.0), (40.0, 0.0), id="an offset"),
        pytest.param([values(9.0, 11.0)], (values(9.1, 11.1),), (40.0, 20.0), id="a list and a tuple"),
    ],
)
def test_a_value_is_as_near_as_its_noise_says(
    reference: object, value: object, found: tuple[float | None, float | None]
) -> None:
    near = nearness(reference, value)
    figures = tuple(figure if figure is None else pytest.approx(figure, abs=0.1) for figure in found)

    assert (near.sqnr_db, near.variation_db) == figures


def test_where_an_offset_is_all_that_is_left_the_words_say_so() -> None:
    left = Nearness(sqnr_db=47.0, variation_db=-3.2)
    winner, because = nearer(NAMES, left, Nearness(sqnr_db=60.0, variation_db=9.8))

    assert winner == "right"
    assert because == ("left SQNR 47.0 dB (noise 3.2 dB above the variation between samples), right SQNR 60.0 dB")
