"""Guards of exported programs: left out where no size is free, and the same programs and errors as with them."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from qatrix.execute.case import run_case
from qatrix.pipelines import torchenv
from qatrix.pipelines.guards import no_static_guards, of_free_dimensions
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import capture
from support.cases import shipped_cases
from support.results import without_times

pytestmark = pytest.mark.torch

GUARDS = "torch._dynamo.guards"
CHECK = "_suggest_or_raise_constraint_violation"


class PairFlattened(nn.Module):
    """Fixes its batch by what it reshapes to."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, -1)


class Positive(nn.Module):
    """As many numbers as are positive: a size that depends on data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x > 0]


@pytest.fixture
def guarded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each time that dynamo makes guards."""
    made: list[int] = []
    manager: Any = torchenv.imported(GUARDS).CheckFunctionManager
    make: Callable[..., None] = manager.__init__

    def counting(*given: Any, **named: Any) -> None:
        made.append(len(made))
        make(*given, **named)

    monkeypatch.setattr(manager, "__init__", counting)
    return made


def program_of(model: nn.Module, *, dynamic_batch: bool = False) -> nn.Module:
    return capture(model, Inputs.of(torch.ones(2, 4, 3)), dynamic_batch=dynamic_batch)()


def test_an_export_of_static_sizes_makes_no_guards_inside_the_block(guarded: list[int]) -> None:
    model = nn.Sequential(nn.Conv1d(4, 2, 1), nn.ReLU())
    plain = program_of(model)
    before = len(guarded)
    with no_static_guards():
        program = program_of(model)

    assert before == 1
    assert len(guarded) == before
    assert str(program) == str(plain)
    assert torch.equal(program(torch.ones(2, 4, 3)), plain(torch.ones(2, 4, 3)))


@pytest.mark.parametrize(
    ("model", "dynamic_batch"),
    [pytest.param(nn.ReLU(), True, id="free batch"), pytest.param(Positive(), False, id="size that depends on data")],
)
def test_an_export_with_a_free_size_has_its_guards_made(
    guarded: list[int], model: nn.Module, dynamic_batch: bool
) -> None:
    with no_static_guards():
        program_of(model, dynamic_batch=dynamic_batch)

    assert len(guarded) == 1


def test_a_batch_that_was_to_be_free_and_is_not_is_told_as_ever() -> None:
    errors = []
    for block in (contextlib.nullcontext, no_static_guards):
        with block(), pytest.raises(Exception, match="specialized it to be a constant") as raised:
            program_of(PairFlattened(), dynamic_batch=True)
        errors.append((type(raised.value), str(raised.value)))

    assert errors[0] == errors[1]


def test_the_check_is_as_it_was_outside_the_block() -> None:
    module = torchenv.export_tracer()
    before = getattr(module, CHECK)
    with no_static_guards(), no_static_guards():
        assert getattr(module, CHECK) is not before

    assert getattr(module, CHECK) is before


def test_a_release_that_exports_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (None, types.ModuleType("another")):
        monkeypatch.setattr(torchenv, "export_tracer", lambda module=module: module)
        with no_static_guards():
            assert not hasattr(module, CHECK)


def test_a_check_that_names_its_arguments_otherwise_is_made() -> None:
    made: list[tuple[Any, ...]] = []

    def check(*given: Any) -> None:
        made.append(given)

    of_free_dimensions(check)(1, 2)

    assert made == [(1, 2)]


@pytest.mark.xdist_group("patterns")
def test_a_case_has_the_same_record_both_ways() -> None:
    case, *_ = shipped_cases("linears_wide/linear_softmax/*per_channel_ptq,*")
    plain = run_case(case)
    with no_static_guards():
        unguarded = run_case(case)

    assert plain.diagnosis is not None
    assert without_times(unguarded) == without_times(plain)
