"""How far a runtime's outputs may be from those of its reference."""

from __future__ import annotations

import torch

from qatrix.claims import Tolerance
from qatrix.judge import numerics
from qatrix.judge.allowances import allowances
from qatrix.outcomes import Comparison

EXACT = Tolerance(name="exact", rtol=0.0, atol=0.0)
NAMES = ("pt2e", "pt2e on executorch")


def test_a_quantized_output_may_be_as_many_of_its_steps_off_as_the_suite_says() -> None:
    assert allowances(torch.tensor([1.0]), torch.tensor([9.0]), [0.25], within=1) == (0.25,)
    assert allowances(torch.tensor([1.0]), torch.tensor([9.0]), [0.25], within=3) == (0.75,)


def test_another_output_may_be_as_far_off_as_quantization_has_moved_it() -> None:
    converted, reference = torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.0])

    assert allowances(converted, reference, [None], within=1) == (0.5,)


def test_nothing_is_allowed_where_nothing_can_be_told() -> None:
    assert allowances(torch.tensor([1]), torch.tensor([3]), [], within=1) == (None,)
    assert allowances(torch.zeros(2), torch.zeros(3), [], within=1) == (None,)
    assert allowances(torch.zeros(0), torch.zeros(0), [], within=1) == (None,)
    assert allowances(torch.tensor([1.0]), torch.tensor([float("inf")]), [], within=1) == (None,)
    assert allowances((torch.zeros(1), torch.zeros(1)), torch.ones(1), [0.5], within=1) == (0.5, None)


def test_each_output_has_its_own() -> None:
    left = (torch.tensor([1.0]), torch.tensor([1.0]))
    right = (torch.tensor([1.5]), torch.tensor([1.5]))

    def compared(*allowed: float | None) -> Comparison:
        return numerics.compare(left, right, at="lowered", names=NAMES, tolerance=EXACT, allowances=allowed)

    assert compared(0.5, 0.5).status == "close"
    assert compared(0.5, None).status == "diverged"
    assert compared(0.5, None).mismatched == 1
    assert compared(0.5).status == "diverged"
    assert compared(0.5, 0.25).atol == 0.5
    assert compared(0.5, 0.25).tolerance_used == 2
    assert compared().atol == 0.0
