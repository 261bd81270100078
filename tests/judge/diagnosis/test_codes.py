"""Integer codes: how they differ, and by what."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qatrix.claims import Tolerance
from qatrix.diagnoses import CodeBin, CodeRow
from qatrix.judge.diagnosis.codes import code_rows
from qatrix.judge.diagnosis.parameters import Measured
from support.sights import layout, measured, sight, site

pytestmark = pytest.mark.torch
ONE = layout(site("x"))


def row_of(
    values: tuple[Tensor, Tensor], codes: tuple[list[int], list[int]], sides: tuple[Measured, Measured]
) -> CodeRow:
    left, right = (
        sight(name, {"x": value}, tensors={"x": side}, codes={"x": torch.tensor(code, dtype=torch.int8)})
        for name, value, side, code in zip(("left", "right"), values, sides, codes)
    )
    (row,) = code_rows(ONE, left, right, tolerance=Tolerance())
    return row


def split(row: CodeRow) -> dict[str, int]:
    names = ("from_inputs", "from_clamping", "from_parameters", "from_ties", "unexplained")
    return {name: getattr(row, name) for name in names if getattr(row, name)}


def test_equal_codes_have_no_histogram() -> None:
    value = torch.tensor([1.0, 2.0])
    row = row_of((value, value), ([10, 20], [10, 20]), (measured(), measured()))

    assert (row.total, row.different, row.histogram, split(row)) == (2, 0, (), {})


@pytest.mark.parametrize(
    ("values", "codes", "sides", "expected"),
    [
        pytest.param(([1.0], [1.3]), ([10], [13]), (measured(), measured()), "from_inputs", id="other_inputs"),
        pytest.param(([1.0], [1.0]), ([10], [5]), (measured(0.1), measured(0.2)), "from_parameters", id="other_scale"),
        pytest.param(([1.0], [1.0]), ([10], [13]), (measured(), measured(0.1, 3)), "from_parameters", id="other_zero_point"),
        pytest.param(([15.0], [15.0]), ([127], [75]), (measured(0.1), measured(0.2)), "from_clamping", id="one_side_clamps"),
        pytest.param(([3.0], [3.0]), ([15], [30]), (measured(quant_max=15), measured()), "from_clamping", id="other_range"),
        pytest.param(([0.25], [0.25]), ([2], [3]), (measured(), measured()), "from_ties", id="tie"),
        pytest.param(([1.0], [1.0]), ([10], [40]), (measured(), measured()), "unexplained", id="unexplained"),
    ],
)  # fmt: skip
def test_each_difference_has_one_cause(
    values: tuple[list[float], list[float]],
    codes: tuple[list[int], list[int]],
    sides: tuple[Measured, Measured],
    expected: str,
) -> None:
    row = row_of((torch.tensor(values[0]), torch.tensor(values[1])), codes, sides)

    assert split(row) == {expected: 1}


def test_the_histogram_counts_small_differences_one_by_one_and_great_ones_together() -> None:
    value = torch.zeros(6)
    row = row_of((value, value), ([0, 1, 1, -3, 50, 90], [0, 0, 0, 0, 0, 0]), (measured(), measured(0.2)))

    assert row.histogram == (
        CodeBin(low=-3, high=-3, count=1),
        CodeBin(low=1, high=1, count=2),
        CodeBin(low=50, high=90, count=2),
    )
    assert (row.different, row.max_difference) == (5, 90)
    assert sum(split(row).values()) == row.different


def test_constants_with_equal_parameters_can_only_differ_by_what_was_quantized() -> None:
    def constant(*codes: int) -> Measured:
        known = measured()
        return Measured(**{**vars(known), "codes": torch.tensor(codes, dtype=torch.int8)})

    left = sight("left", {}, tensors={"conv.weight": constant(1, 2, 3)})
    right = sight("right", {}, tensors={"conv.weight": constant(1, 2, 7)})
    (row,) = code_rows(layout(site("x")), left, right, tolerance=Tolerance())

    assert (row.tensor, row.different, split(row)) == ("conv.weight", 1, {"from_inputs": 1})
