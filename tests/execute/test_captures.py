"""Cases of one model share its capture: one export, programs of their own, the same records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from qatrix.declare.spec import Case
from qatrix.execute.captures import Captures, captured_of
from qatrix.execute.case import run_case
from qatrix.pipelines import PIPELINES, Capture
from qatrix.pipelines.inputs import Inputs
from support import specs
from support.cases import shipped_cases
from support.results import without_times


def made(count: list[int]) -> Capture:
    count.append(1)
    return nn.Identity


def capture_of(
    captures: Captures, case: Case, count: list[int], *, training: bool = True, dynamic_batch: bool = False
) -> Capture:
    key = captured_of(case, "pt2e", path="", training=training, dynamic_batch=dynamic_batch)
    return captures.get(key, lambda: made(count))


def test_cases_that_differ_only_in_their_quantizer_share_a_capture() -> None:
    captures, count = Captures(), list[int]()
    one = specs.case("s/one", quantizer=specs.quantizer("per_channel"))
    other = specs.case("s/other", quantizer=specs.quantizer("per_tensor"))

    assert capture_of(captures, one, count) is capture_of(captures, other, count)
    assert len(count) == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda case: replace(case, params={"bias": False}), id="a parameter"),
        pytest.param(lambda case: replace(case, params={"bias": 1}), id="an int for a bool"),
        pytest.param(lambda case: replace(case, dim=1), id="dim"),
        pytest.param(lambda case: replace(case, seed=1), id="seed"),
        pytest.param(lambda case: replace(case, dtype="bfloat16"), id="dtype"),
        pytest.param(lambda case: replace(case, capture="non_strict"), id="capture"),
        pytest.param(lambda case: replace(case, device=specs.device("cuda")), id="device"),
        pytest.param(lambda case: replace(case, conv_kind=specs.conv_kind("depthwise")), id="conv kind"),
        pytest.param(lambda case: replace(case, pattern=replace(case.pattern, about="another")), id="pattern"),
    ],
)
def test_what_a_capture_depends_on_is_in_its_key(other: Callable[[Case], Case]) -> None:
    captures, count = Captures(), list[int]()
    capture_of(captures, specs.case(), count)
    capture_of(captures, other(specs.case()), count)

    assert len(count) == 2


def test_training_and_evaluation_are_captured_apart() -> None:
    captures, count = Captures(), list[int]()
    for training in (True, False):
        capture_of(captures, specs.case(), count, training=training)

    assert len(count) == 2


def test_a_free_batch_axis_is_captured_apart() -> None:
    captures, count = Captures(), list[int]()
    for dynamic_batch in (True, False):
        capture_of(captures, specs.case(), count, dynamic_batch=dynamic_batch)

    assert len(count) == 2


def test_only_the_newest_captures_are_kept() -> None:
    captures, count = Captures(), list[int]()
    for seed in (*range(3), 0):
        capture_of(captures, specs.case(seed=seed), count)

    assert len(count) == 4


def test_what_one_pipeline_captures_leaves_what_others_did() -> None:
    captures, count = Captures(), list[int]()
    for name in ("pt2e", "fx", "arbiter", "pt2e"):
        key = captured_of(specs.case(), name, path="", training=True, dynamic_batch=False)
        captures.get(key, lambda: made(count))

    assert len(count) == 3


class BatchNormWithBuffer(nn.Module):
    """A parameter, statistics, a buffer of its own and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)
        self.register_buffer("offset", torch.ones(1), persistent=False)
        self.constant = torch.ones(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.norm(x) + self.offset + self.constant
        return result


def tensors(program: nn.Module) -> set[int]:
    held = [*program.parameters(), *program.buffers()]
    held += [item for part in program.modules() for item in vars(part).values() if isinstance(item, torch.Tensor)]
    return {item.data_ptr() for item in held}


@pytest.mark.torch
@pytest.mark.parametrize("name", PIPELINES)
def test_programs_of_one_capture_share_no_tensor(name: str) -> None:
    capture = PIPELINES[name].capture(BatchNormWithBuffer(), Inputs.of(torch.rand(2, 2, 3, 3)), dynamic_batch=False)
    one, other = capture(), capture()

    assert len(tensors(one)) >= 5
    assert not tensors(one) & tensors(other)


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.usefixtures("as_in_a_worker")
@pytest.mark.parametrize(
    "glob",
    [
        pytest.param("conv_bn_relu_fusion/*dim=2*", id="conv-bn-relu"),
        pytest.param("conv_bn_fusion_no_conv_bias/two_conv_bn/*dim=1*", id="two blocks"),
        pytest.param("inplace_add_relu/*dim=2*", id="writes to its input"),
        pytest.param("mixing_qat_ptq/*", id="submodules in phases"),
        pytest.param("ptq/conv_bn/*dim=2*", id="post training"),
    ],
)
def test_records_are_equal_with_and_without_shared_captures(glob: str) -> None:
    cases = shipped_cases(glob)
    captures = Captures()
    # Twice over, so that every case also meets the capture of its twin.
    shared = [run_case(case, captures=captures) for case in (*cases, *cases)]
    alone = [run_case(case) for case in cases]

    assert [without_times(record) for record in shared] == [without_times(record) for record in (*alone, *alone)]
