"""Numerics: exact means the bits, close means assert_close's formula, and a NaN never hides."""

from __future__ import annotations

import math

import pytest
import torch

from qatrix.claims import Tolerance
from qatrix.judge.numerics import compare, sqnr_db
from qatrix.outcomes import Comparison


def compared(left: object, right: object, **options: object) -> Comparison:
    return compare(left, right, at="convert", names=("pt2e", "fx"), tolerance=Tolerance(), **options)  # type: ignore[arg-type]  # options are steps


def test_equal_tensors_are_exact() -> None:
    result = compared(torch.ones(2, 3), torch.ones(2, 3))

    assert (result.status, result.max_abs, result.mismatched, result.total) == ("exact", 0.0, 0, 6)


def test_a_difference_within_tolerance_is_close_and_located() -> None:
    right = torch.ones(2, 3)
    left = right.clone()
    left[1, 2] += 2e-6

    result = compared(left, right)

    assert result.status == "close"
    assert result.max_abs_at == "[1, 2]"
    assert result.max_abs == pytest.approx(2e-6, rel=0.1)


def test_a_difference_out_of_tolerance_is_diverged_and_counted() -> None:
    result = compared(torch.tensor([1.0, 2.0, 3.5]), torch.tensor([1.0, 2.0, 3.0]))

    assert (result.status, result.mismatched, result.max_abs) == ("diverged", 1, 0.5)
    assert result.max_rel == pytest.approx(0.5 / 3)


def test_the_formula_is_that_of_assert_close() -> None:
    generator = torch.Generator().manual_seed(3)
    right = torch.randn(2000, generator=generator)
    left = right + torch.randn(2000, generator=generator) * 1.2e-5
    agreed = torch.isclose(left.double(), right.double(), rtol=1.3e-6, atol=1e-5)

    assert compared(left, right).mismatched == int((~agreed).sum())


def test_nan_at_the_same_place_is_exact() -> None:
    assert compared(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0])).status == "exact"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_a_value_that_is_not_finite_on_one_side_diverges(value: float) -> None:
    result = compared(torch.tensor([value, 1.0]), torch.tensor([1.0, 1.0]))

    assert result.status == "diverged"
    assert result.message == "at the output: values that are not finite stand at different places"


def test_nested_outputs_are_compared_leaf_by_leaf() -> None:
    left = {"logits": torch.zeros(2), "states": (torch.zeros(1), torch.zeros(3))}
    right = {"logits": torch.zeros(2), "states": (torch.zeros(1), torch.tensor([0.0, 0.0, 1.0]))}

    result = compared(left, right)

    assert (result.status, result.max_abs_at, result.total) == ("diverged", "['states'][1][2]", 6)


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        pytest.param(
            torch.zeros(2),
            torch.zeros(3),
            "at the output: pt2e gives float32 of shape [2], fx float32 of shape [3]",
            id="shape",
        ),
        pytest.param(
            torch.zeros(2),
            torch.zeros(2).double(),
            "at the output: pt2e gives float32 of shape [2], fx float64 of shape [2]",
            id="dtype",
        ),
        pytest.param(
            (torch.zeros(1),), torch.zeros(1), "the structures differ: pt2e gives (tensor), fx tensor", id="structure"
        ),
        pytest.param({"a": 1}, {"a": 2}, "at ['a']: pt2e gives 1, fx 2", id="number"),
    ],
)
def test_structure_shape_and_dtype_come_before_values(left: object, right: object, message: str) -> None:
    result = compared(left, right)

    assert (result.status, result.message, result.max_abs) == ("mismatched", message, None)


def test_empty_tensors_are_exact() -> None:
    assert compared(torch.zeros(0, 3), torch.zeros(0, 3)).status == "exact"


def test_integers_and_booleans_are_compared_by_value() -> None:
    assert compared(torch.tensor([1, 2]), torch.tensor([1, 3])).max_abs == 1.0
    assert compared(torch.tensor([True]), torch.tensor([False])).status == "diverged"


def test_a_difference_is_told_in_quantization_steps_of_its_own_output() -> None:
    left, right = (torch.zeros(2), torch.zeros(2)), (torch.full((2,), 0.5), torch.full((2,), 0.2))

    assert compared(left, right, steps=(0.25, None)).max_steps == 2.0
    assert compared(left, right, steps=(None, None)).max_steps is None


def test_sqnr_is_twenty_times_the_log_of_the_ratio_of_norms() -> None:
    reference = torch.tensor([3.0, 4.0])

    decibels, note = sqnr_db(reference, reference + torch.tensor([0.0, 0.05]))

    assert decibels == pytest.approx(40.0, abs=1e-4)
    assert note is None


@pytest.mark.parametrize(
    ("reference", "output", "note"),
    [
        pytest.param(torch.ones(2), torch.ones(2), "there is no quantization noise", id="no noise"),
        pytest.param(torch.zeros(2), torch.ones(2), "the float model's output is zero", id="no signal"),
        pytest.param(torch.ones(2), torch.ones(3), "float32 of shape [2]", id="other shape"),
        pytest.param(torch.ones(2), torch.tensor([1.0, math.nan]), "not finite", id="nan"),
    ],
)
def test_where_sqnr_says_nothing_there_is_a_note(reference: torch.Tensor, output: torch.Tensor, note: str) -> None:
    value, text = sqnr_db(reference, output)

    assert value is None
    assert text is not None
    assert note in text
