"""Stages: timed by name, in one order; phases work on submodules first and on the whole model last."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.passes import set_training
from qatrix.execute.stages import StageClock, StageFailed, _inputs_of
from qatrix.execute.workers import execute
from qatrix.outcomes import STAGES
from qatrix.pipelines.inputs import Inputs
from support.cases import shipped_cases

pytestmark = pytest.mark.torch


def test_a_clock_adds_up_stages_and_keeps_their_order() -> None:
    clock = StageClock()
    for stage in ("build", "forward", "build"):
        with clock(stage):
            pass

    assert [item.name for item in clock.times()] == ["build", "forward"]


def test_a_stage_that_raises_is_timed_too() -> None:
    clock = StageClock()
    with pytest.raises(StageFailed) as caught, clock("prepare"):
        raise KeyError("x")  # noqa: EM101 - the message is the key

    assert caught.value.stage == "prepare"
    assert isinstance(caught.value.__cause__, KeyError)
    assert [item.name for item in clock.times()] == ["prepare"]


def test_every_pipeline_reports_the_same_stages() -> None:
    case, *_ = shipped_cases("conv_no_bias/conv/*dim=1*")
    record = run_case(case)

    for outcome in record.pipelines.values():
        assert tuple(stage.name for stage in outcome.stages) == tuple(name for name in STAGES if name != "train")
        assert sum(stage.seconds for stage in outcome.stages) <= record.seconds


def test_mixed_training_and_post_training_quantization_gives_the_declared_graph() -> None:
    case, *_ = shipped_cases("mixing_qat_ptq/*")
    record = run_case(case)

    assert record.verdict == "checked"
    assert {check.status for check in record.checks} == {"passed"}
    assert {"mixed_linears_graph", "deterministic_eval", "weight_scales"} <= {check.name for check in record.checks}


class Calling(nn.Module):
    """Calls its submodule by keyword."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Bilinear(2, 3, 4)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """The inner layer's output."""
        result: torch.Tensor = self.inner(input2=y, input1=x)
        return result


def test_a_submodule_that_is_called_by_keyword_has_its_inputs_in_order() -> None:
    x, y = torch.ones(1, 2), torch.ones(1, 3)

    seen = _inputs_of(Calling(), ("inner",), Inputs.of(x, y))["inner"]

    assert [tuple(tensor.shape) for tensor in seen.args] == [(1, 2), (1, 3)]


def test_a_phase_on_a_submodule_that_is_never_called_fails_in_words() -> None:
    case, *_ = shipped_cases("mixing_qat_ptq/*")
    first, *rest = case.quantizer.phases
    phases = (replace(first, submodules=("linears.no_such",)), *rest)
    record = run_case(replace(case, quantizer=replace(case.quantizer, phases=phases)))

    assert (record.verdict, record.pipelines["pt2e"].failed_stage) == ("failed", "build")


def test_an_exported_program_inside_a_model_keeps_its_mode() -> None:
    class Exported(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout()
            self.train = None  # type: ignore[assignment]  # as convert_pt2e overrides it on the instance

    model = nn.Sequential(nn.Dropout(), Exported())
    set_training(model, False)

    assert not model.get_submodule("0").training
    assert model.get_submodule("1.dropout").training


def test_cases_run_in_order_on_one_thread_and_announce_themselves() -> None:
    cases = shipped_cases("conv_no_bias/conv/*dim=1*")
    started: list[str] = []
    threads = torch.get_num_threads()
    try:
        records = list(
            execute(cases, options=Execution(pattern_cache=False), on_start=lambda case: started.append(case.case_id))
        )
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(threads)

    assert [record.case_id for record in records] == started == [case.case_id for case in cases]


def test_the_same_case_twice_gives_the_same_bits() -> None:
    case, *_ = shipped_cases("inplace_add_relu/*dim=2*")
    first, second = run_case(case), run_case(case)

    assert first.comparisons == second.comparisons
    assert [item.sqnr_db for item in first.pipelines.values()] == [item.sqnr_db for item in second.pipelines.values()]
