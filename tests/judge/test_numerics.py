"""Numerics: exact means the bits, close means assert_close's formula, and a NaN never hides."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import pytest
import torch

from qatrix.claims import Tolerance
from qatrix.judge import numerics
from qatrix.judge.numerics import compare, proves_nothing, sqnr_db, variation_db
from qatrix.outcomes import Comparison


class Pair(NamedTuple):
    """A tuple with a name."""

    first: torch.Tensor
    second: torch.Tensor


class Undecided:
    """An output that refuses to be compared, as arrays of several numbers do."""

    def __eq__(self, other: object) -> bool:
        msg = "neither true nor false"
        raise ValueError(msg)

    __hash__ = None  # type: ignore[assignment]  # as of any class that is compared by value


def compared(left: object, right: object, **options: object) -> Comparison:
    return compare(left, right, at="convert", names=("pt2e", "fx"), tolerance=Tolerance(), **options)  # type: ignore[arg-type]  # options are steps


def test_equal_tensors_are_exact() -> None:
    result = compared(torch.ones(2, 3), torch.ones(2, 3))

    assert (result.status, result.max_abs, result.mismatched, result.total) == ("exact", 0.0, 0, 6)


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param(torch.tensor([[0.0, -0.0], [math.nan, -math.inf]]), id="float32"),
        pytest.param(torch.tensor([1.0, math.nan], dtype=torch.bfloat16), id="bfloat16"),
        pytest.param(torch.tensor([2**63 - 1, -(2**63)]), id="int64"),
        pytest.param(torch.tensor([True, False]), id="bool"),
        pytest.param(torch.tensor(1.5), id="a scalar"),
        pytest.param(torch.ones(4, 6).t(), id="not contiguous"),
        pytest.param([torch.ones(2), {"sign": torch.zeros(2, 2)}], id="several"),
    ],
)
def test_equal_bits_are_told_as_they_are_by_arithmetic(outputs: object, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(outputs, copy.deepcopy(outputs), steps=[0.5])
    monkeypatch.setattr(numerics, "_same_bits", lambda *_: False)

    assert found.status == "exact"
    assert found == compared(outputs, copy.deepcopy(outputs), steps=[0.5])


def test_the_place_of_a_difference_is_told_by_its_indices() -> None:
    for shape in ((), (5,), (2, 3, 4), (1, 7, 1)):
        right = torch.zeros(shape)
        for index in range(right.numel()):
            left = right.clone()
            left.view(-1)[index] = 1.0
            place = [int(part) for part in torch.unravel_index(torch.tensor(index), shape)]

            assert compared(left, right).max_abs_at == str(place)


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


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        pytest.param(math.nan, 1.0, "at [0]: pt2e gives nan, fx 1", id="nan on the left"),
        pytest.param(1.0, math.nan, "at [0]: pt2e gives 1, fx nan", id="nan on the right"),
        pytest.param(math.inf, 1.0, "at [0]: pt2e gives inf, fx 1", id="infinity on the left"),
        pytest.param(1.0, math.inf, "at [0]: pt2e gives 1, fx inf", id="infinity on the right"),
        pytest.param(-math.inf, math.inf, "at [0]: pt2e gives -inf, fx inf", id="infinities of two signs"),
    ],
)
def test_a_value_that_is_not_finite_is_within_no_tolerance(left: float, right: float, message: str) -> None:
    result = compared(torch.tensor([left, 1.0]), torch.tensor([right, 1.0]))

    assert (result.status, result.mismatched, result.message) == ("diverged", 1, message)


def test_several_values_that_are_not_finite_are_counted() -> None:
    result = compared({"y": torch.full((2, 2), math.nan)}, {"y": torch.ones(2, 2)})

    assert result.message == "at ['y'][0, 0], and at 3 more: pt2e gives nan, fx 1"


def test_the_same_infinity_is_exact() -> None:
    assert compared(torch.tensor([math.inf]), torch.tensor([math.inf])).status == "exact"


def test_zeros_of_two_signs_are_close_but_not_the_same_bits() -> None:
    result = compared(torch.tensor([0.0]), torch.tensor([-0.0]))

    assert (result.status, result.message) == ("close", "at the output: equal, but zeros differ in their sign")


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
        pytest.param(
            {"a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(1)},
            {"a": torch.zeros(1), "d": torch.zeros(1)},
            "only pt2e has b, c; only fx has d",
            id="keys of one side",
        ),
        pytest.param({"a": 1}, {"a": 2}, "at ['a']: pt2e gives 1, fx 2", id="number"),
        pytest.param(
            torch.tensor(1.0), 1.0, "at the output: pt2e gives float32 of shape [], fx 1.0", id="tensor and number"
        ),
        pytest.param(
            Pair(torch.zeros(1), torch.zeros(1)),
            (torch.zeros(1), torch.zeros(1)),
            "the structures differ: pt2e gives Pair(tensor, tensor), fx (tensor, tensor)",
            id="named tuple",
        ),
        pytest.param(
            torch.eye(2).to_sparse(),
            torch.eye(2),
            "at the output: pt2e gives float32 of shape [2, 2] (sparse_coo), fx float32 of shape [2, 2]",
            id="layout",
        ),
    ],
)
def test_structure_shape_and_dtype_come_before_values(left: object, right: object, message: str) -> None:
    result = compared(left, right)

    assert (result.status, result.message, result.max_abs) == ("mismatched", message, None)


def test_empty_tensors_are_exact() -> None:
    assert compared(torch.zeros(0, 3), torch.zeros(0, 3)).status == "exact"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param([1, 2], [1, 3], id="integers"),
        pytest.param([True, True], [True, False], id="booleans"),
        pytest.param([1, 1_000_001], [1, 1_000_000], id="a difference that rtol would allow"),
        pytest.param([1, 2**53 + 1], [1, 2**53], id="beyond float64's integers"),
    ],
)
def test_integers_and_booleans_have_no_tolerance(left: list[int], right: list[int]) -> None:
    result = compared(torch.tensor(left), torch.tensor(right))

    assert (result.status, result.max_abs, result.max_abs_at, result.mismatched) == ("diverged", 1.0, "[1]", 1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.uint8, torch.int64], ids=str)
def test_every_dtype_is_compared(dtype: torch.dtype) -> None:
    assert compared(torch.ones(2, dtype=dtype), torch.ones(2, dtype=dtype)).status == "exact"
    assert compared(torch.ones(2, dtype=dtype), torch.full((2,), 3, dtype=dtype)).max_abs == 2.0


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_quantized_tensors_are_compared_by_what_they_stand_for() -> None:
    coarse, fine = (torch.quantize_per_tensor(torch.ones(2), scale, 0, torch.qint8) for scale in (0.5, 0.3))

    assert compared(coarse, coarse).status == "exact"
    assert compared(coarse, fine).max_abs == pytest.approx(0.1)


def test_a_scalar_has_a_place_too() -> None:
    assert compared(torch.tensor(1.0), torch.tensor(2.0)).max_abs_at == "[]"
    assert compared({"loss": torch.tensor(1.0)}, {"loss": torch.tensor(2.0)}).max_abs_at == "['loss']"


def test_the_order_of_keys_is_no_difference() -> None:
    left = {"a": torch.zeros(1), "b": [torch.ones(1)]}

    assert compared(left, dict(reversed(left.items()))).status == "exact"


@pytest.mark.parametrize(
    ("output", "message"),
    [
        pytest.param(
            torch.ones(1, dtype=torch.complex64).conj(),
            "at the output: complex numbers are not compared, as in complex64 of shape [1]",
            id="complex",
        ),
        pytest.param(
            torch.eye(2).to_sparse(),
            "at the output: only dense tensors are compared, not float32 of shape [2, 2] (sparse_coo)",
            id="sparse",
        ),
        pytest.param(
            torch.ones(1, device="meta"),
            "at the output: float32 of shape [1] is on the device meta and has no values",
            id="meta",
        ),
        pytest.param(Undecided(), "they cannot be compared: ValueError: neither true nor false", id="other object"),
    ],
)
def test_what_cannot_be_compared_is_said_and_not_raised(output: object, message: str) -> None:
    other = output if isinstance(output, torch.Tensor) else Undecided()

    assert compared(output, other).status == "mismatched"
    assert compared(output, other).message == message
    assert sqnr_db(output, other)[0] is None


def test_a_difference_is_told_in_quantization_steps_of_its_own_output() -> None:
    left, right = (torch.zeros(2), torch.zeros(2)), (torch.full((2,), 0.5), torch.full((2,), 0.2))

    assert compared(left, right, steps=(0.25, None)).max_steps == 2.0
    assert compared(left, right, steps=(None, None)).max_steps is None


def test_steps_are_counted_by_leaf_also_where_a_leaf_is_no_tensor() -> None:
    assert compared((None, torch.zeros(1)), (None, torch.ones(1)), steps=(None, 0.25)).max_steps == 4.0


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


def test_sqnr_of_large_values_does_not_overflow() -> None:
    reference = torch.full((2,), 1e200, dtype=torch.float64)

    decibels, note = sqnr_db(reference, reference * 2)

    assert decibels == pytest.approx(0.0, abs=1e-9)
    assert note is None


@pytest.mark.parametrize(
    ("left", "right", "used"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], 0.0, id="equal"),
        pytest.param([0.5], [0.0], 0.5, id="half of atol"),
        pytest.param([100.0, 3.0], [0.0, 3.0], 100.0, id="a hundred times atol"),
        pytest.param([13.0], [10.0], 1.5, id="rtol counts, of the right side"),
        pytest.param([float("nan")], [float("nan")], 0.0, id="NaN on both sides"),
        pytest.param([float("nan")], [1.0], float("inf"), id="NaN on one side"),
        pytest.param([1.0], [float("inf")], float("inf"), id="infinity on one side"),
    ],
)
def test_how_much_of_the_tolerance_is_used(left: list[float], right: list[float], used: float) -> None:
    tolerance = Tolerance(name="wide", rtol=0.1, atol=1.0)
    compared = compare(
        torch.tensor(left), torch.tensor(right), at="convert", names=("one", "other"), tolerance=tolerance
    )

    assert compared.tolerance_used == pytest.approx(used)
    assert (compared.status in {"exact", "close"}) == (used <= 1)


def test_integers_use_all_of_any_tolerance_or_nothing() -> None:
    wide = Tolerance(name="wide", rtol=0.0, atol=9.0)
    pairs = ((torch.tensor([1]), torch.tensor([1])), (torch.tensor([1]), torch.tensor([2])))
    used = [compare(*pair, at="convert", names=("one", "other"), tolerance=wide).tolerance_used for pair in pairs]

    assert used == [0.0, float("inf")]


@pytest.mark.parametrize(
    ("reference", "output", "expected"),
    [
        pytest.param(torch.tensor([99.0, 101.0]), torch.tensor([99.1, 101.1]), 20.0, id="an offset is no signal"),
        pytest.param(torch.tensor([99.0, 101.0]), torch.tensor([100.0, 100.0]), 0.0, id="the mean alone"),
        pytest.param(torch.tensor([99.0, 101.0]), torch.tensor([99.0, 101.0]), None, id="no noise"),
        pytest.param(torch.tensor([5.0, 5.0]), torch.tensor([4.0, 5.0]), None, id="nothing varies"),
        pytest.param(torch.tensor([[5.0, 6.0]]), torch.tensor([[4.0, 6.0]]), None, id="one sample"),
        pytest.param(torch.tensor([[5.0, 9.0]] * 2), torch.tensor([[5.0, 9.1]] * 2), None, id="features alone vary"),
        pytest.param(torch.tensor([1.0, 2.0]), torch.tensor([1.0, math.nan]), None, id="not finite"),
        pytest.param(
            torch.tensor([[-3.4e38, 9.0], [-3.4e38, 11.0], [-3.4e38, 10.0]]),
            torch.tensor([[-3.4e38, 9.1], [-3.4e38, 11.0], [-3.4e38, 10.1]]),
            20.0,
            id="a great mask is no signal",
        ),
        pytest.param(torch.tensor([1.0, 1.0000001]), torch.tensor([1.1, 1.1]), None, id="rounding is no signal"),
        pytest.param(torch.tensor([1, 3]), torch.tensor([2, 2]), 0.0, id="integers"),
        pytest.param(torch.tensor([1.0, 2.0]), torch.tensor([1.0]), None, id="another shape"),
        pytest.param(
            (torch.tensor([1.0, 3.0]), torch.tensor([7.0])),
            (torch.tensor([1.1, 3.1]), torch.tensor([9.0])),
            20.0,
            id="a tensor of one sample does not count",
        ),
    ],
)
def test_what_varies_is_told_from_what_does_not(reference: object, output: object, expected: float | None) -> None:
    found = variation_db(reference, output)

    assert found == (None if expected is None else pytest.approx(expected, abs=1e-3))


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        pytest.param(torch.tensor([1.0, 2.0]), None, id="varies"),
        pytest.param(torch.tensor(0.0), None, id="one value"),
        pytest.param((torch.zeros(3), torch.tensor([1, 2])), None, id="one of two varies"),
        pytest.param(torch.zeros(3), "all 3 values are 0", id="constant"),
        pytest.param((torch.zeros(3), torch.ones(1, 2)), "all 5 values are 0 or 1", id="two constants"),
        pytest.param(
            torch.tensor([math.nan, 2.0, 2.0]), "all 3 values are 2 or NaN or infinite", id="constant but for NaN"
        ),
        pytest.param(torch.full((2,), math.inf), "all 2 values are NaN or infinite", id="not finite"),
        pytest.param(torch.zeros(0), "there are no values", id="empty"),
        pytest.param((), "there are no values", id="no tensor"),
    ],
)
def test_outputs_that_prove_nothing_are_told(outputs: object, why: str | None) -> None:
    assert proves_nothing(outputs) == why
