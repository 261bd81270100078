"""Switches: what is off after them, and that none does nothing in silence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from qatrix.declare.spec import Case
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.pattern_cache import pattern_cache
from qatrix.pipelines.switches import NotSwitched, require_all_off
from support.cases import shipped_cases

pytestmark = pytest.mark.torch
both = pytest.mark.parametrize("name", ["pt2e", "fx"])


@pytest.fixture(scope="module", autouse=True)
def _memoised() -> Iterator[None]:
    """The patterns of PT2E are exported once for all tests."""
    with pattern_cache():
        yield


def prepared(case: Case, name: str) -> nn.Module:
    pipeline, inputs = PIPELINES[name], build_inputs(case)
    captured = pipeline.capture(build_model(case), inputs, dynamic_batch=False)()
    return pipeline.prepare(captured, inputs, case.quantizer, skip_modules=())


def case_of(pattern: str) -> Case:
    return shipped_cases(f"*/{pattern}/*per_channel_qat*")[0]


@both
def test_all_observers_are_off(name: str) -> None:
    program = prepared(case_of("conv_bn_relu"), name)
    PIPELINES[name].disable_observers(program)
    states = [item.observer_enabled for item in program.modules() if hasattr(item, "observer_enabled")]

    assert [bool(state) for state in states] == [False, False, False]


@both
def test_frozen_batch_norms_leave_their_statistics_alone(name: str) -> None:
    case = case_of("conv_bn_relu")
    program = prepared(case, name)
    PIPELINES[name].freeze_batch_norms(program)
    statistics = [item for key, item in program.named_buffers() if "running" in key]
    before = [item.clone() for item in statistics]
    program(*build_inputs(case).args)

    assert len(statistics) == 2
    assert all(map(torch.equal, statistics, before))


@both
def test_a_program_without_batch_norms_cannot_freeze_any(name: str) -> None:
    program = prepared(case_of("conv"), name)

    with pytest.raises(NotSwitched, match="no batch norm to switch off"):
        PIPELINES[name].freeze_batch_norms(program)


@both
def test_a_program_without_observers_cannot_switch_any_off(name: str) -> None:
    with pytest.raises(NotSwitched, match="no observer to switch off"):
        PIPELINES[name].disable_observers(nn.ReLU())


def test_a_batch_norm_that_fx_leaves_on_is_named() -> None:
    program = prepared(case_of("linear_bn"), "fx")

    with pytest.raises(NotSwitched, match=r"freeze_bn_stats leaves 1 of 1 batch norms on: linear\.bn"):
        PIPELINES["fx"].freeze_batch_norms(program)


def test_pt2e_freezes_a_batch_norm_that_is_not_fused() -> None:
    program = prepared(case_of("linear_bn"), "pt2e")
    PIPELINES["pt2e"].freeze_batch_norms(program)
    before = program.get_buffer("bn.running_var").clone()
    program(torch.randn(4, 8))

    assert torch.equal(program.get_buffer("bn.running_var"), before)


def test_what_is_left_on_is_listed() -> None:
    with pytest.raises(NotSwitched, match="the way leaves 2 of 3 observers on: a, b"):
        require_all_off("observer", 3, ["a", "b"], "the way")
