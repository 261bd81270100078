"""Outputs by field."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from qatrix.claims import Tolerance
from qatrix.judge.numerics import compare, not_finite, proves_nothing
from qatrix.judge.outputs import plain

pytestmark = pytest.mark.torch


@dataclasses.dataclass
class Result:
    """An output with fields."""

    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None


class Point(NamedTuple):
    """An output with named places."""

    x: object
    y: Tensor


class ModelOutput(OrderedDict[str, Tensor]):
    """A dict as transformers' models return it."""


ONE, OTHER = torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0])


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (Result(ONE), {"logits": ONE, "hidden": None}),
        (ModelOutput(logits=ONE), {"logits": ONE}),
        ([Result(ONE, (ONE,))], [{"logits": ONE, "hidden": (ONE,)}]),
        (Point(Result(ONE), ONE), Point({"logits": ONE, "hidden": None}, ONE)),
        (ONE, ONE),
    ],
    ids=["dataclass", "dict", "list", "named tuple", "tensor"],
)
def test_what_has_a_class_of_its_own_is_told_by_its_fields(output: object, expected: object) -> None:
    assert repr(plain(output)) == repr(expected)


@pytest.mark.parametrize(
    ("left", "right", "place"),
    [
        (Result(ONE), Result(OTHER), "['logits'][1]"),
        (Result(ONE), {"logits": OTHER, "hidden": None}, "['logits'][1]"),
        (ModelOutput(logits=ONE), {"logits": OTHER}, "['logits'][1]"),
        (Point(ONE, ONE), Point(ONE, OTHER), ".y[1]"),
    ],
    ids=["dataclass", "dataclass and dict", "dict", "named tuple"],
)
def test_a_difference_is_told_with_the_name_of_its_field(left: object, right: object, place: str) -> None:
    found = compare(left, right, at="convert", names=("pt2e", "fx"), tolerance=Tolerance())

    assert (found.status, found.max_abs_at, found.mismatched, found.total) == ("diverged", place, 1, 2 * _count(left))


def test_a_field_that_only_one_has_is_named() -> None:
    found = compare(Result(ONE), {"logits": ONE}, at="convert", names=("pt2e", "fx"), tolerance=Tolerance())

    assert (found.status, found.message) == ("mismatched", "only pt2e has hidden")


def test_the_values_of_a_dataclass_count() -> None:
    assert not_finite(Result(torch.tensor([1.0, torch.nan]))) == 1
    assert proves_nothing(Result(ONE)) is None
    assert proves_nothing(Result(torch.zeros(2))) == "all 2 values are 0"


def _count(output: object) -> int:
    return 2 if isinstance(output, Point) else 1
