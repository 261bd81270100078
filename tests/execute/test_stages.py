"""Stages: timed by name, in one order; phases work on submodules first and on the whole model last."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import fx, nn
from torch._higher_order_ops.scan import scan

from qatrix.execute import stages
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.passes import forward, set_training
from qatrix.execute.stages import _inputs_of, run_stages
from qatrix.execute.workers import execute
from qatrix.outcomes import STAGES
from qatrix.pipelines import PIPELINES, Pipeline
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.pt2e import Exporting
from qatrix.pipelines.torchenv import pt2e_api
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]


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
    torch.set_num_threads(2)
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


@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
@pytest.mark.parametrize(
    ("quantizer", "trains"),
    [
        ("xnnpack_int8_per_channel_ptq", False),
        ("int8_dynamic", False),
        ("xnnpack_int8_per_channel_qat", True),
    ],
)
def test_what_pt2e_exports_has_gradients_in_training_alone(
    tmp_path: Path, pipeline: str, quantizer: str, trains: bool
) -> None:
    text = f"suites: {{s: {{axes: {{pattern: one_linear, quantizer: {quantizer}}}}}}}"
    (case,) = written_cases(tmp_path, text)
    on: list[bool] = []

    def noted(program: nn.Module, inputs: Inputs) -> object:
        on.append(torch.is_grad_enabled())
        return forward(program, inputs)

    outcome = run_stages(
        case,
        pipeline,
        PIPELINES[pipeline],
        build_batches(case),
        lambda *_: on.append(torch.is_grad_enabled()),
        run=noted,
    )

    assert outcome.status == "ok"
    # The prepared program runs and is seen, then the converted one.
    assert on == ([trains, True, False, False] if pipeline == "pt2e" else [True] * 4)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(("quantizer", "trains"), [("ptq", False), ("qat", True)])
def test_all_batches_run_with_gradients_in_training_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantizer: str, trains: bool
) -> None:
    axes = f"pattern: one_linear, quantizer: xnnpack_int8_per_channel_{quantizer}, calibration_batches: 3"
    (case,) = written_cases(tmp_path, f"suites: {{s: {{axes: {{{axes}}}}}}}")
    on: list[bool] = []

    def noted(program: nn.Module, inputs: Inputs) -> object:
        on.append(torch.is_grad_enabled())
        return forward(program, inputs)

    monkeypatch.setattr(stages, "forward", noted)
    run_stages(case, "pt2e", PIPELINES["pt2e"], build_batches(case), lambda *_: None)

    # Three batches through the prepared program, one through the converted.
    assert on == [trains, trains, trains, False]


class Scanning(nn.Module):
    """A running sum of a layer's values by torch's scan, which exported programs cannot run with gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The sums so far."""
        sums: torch.Tensor = scan(lambda last, item: (last + item, last + item), torch.zeros(4), self.lin(x))[1]
        return sums


@pytest.mark.parametrize("capture", ["strict", "non_strict"])
def test_a_model_that_runs_without_gradients_alone_is_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capture: str
) -> None:
    monkeypatch.setattr(nn, "Written", Scanning, raising=False)
    text = f"""
patterns: {{written: {{model: torch.nn.Written, inputs: {{x: {{shape: [3, 4]}}}}}}}}
suites: {{s: {{axes: {{pattern: written, capture: {capture}, quantizer: xnnpack_int8_per_channel_ptq}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    outcome = run_case(case, diagnose="never").pipelines["pt2e"]

    assert (outcome.status, outcome.failed_stage) == ("ok", None)
    assert outcome.quantize_ops


def test_a_pt2e_that_takes_strict_captures_alone_is_unavailable(tmp_path: Path) -> None:
    axes = "pattern: one_linear, capture: [strict, non_strict], quantizer: int8_dynamic"
    strict, non_strict = written_cases(tmp_path, f"suites: {{s: {{axes: {{{axes}}}}}}}")
    pt2e = Exporting(lambda: replace(pt2e_api(), home="torch.ao"))
    pipelines: dict[str, Pipeline] = {"pt2e": pt2e, "fx": PIPELINES["fx"]}
    record = run_case(non_strict, pipelines, diagnose="never")

    assert run_case(strict, pipelines, diagnose="never").verdict == "exact"
    assert (record.verdict, record.pipelines["fx"].status) == ("unavailable", "ok")
    assert str(record.pipelines["pt2e"].reason).startswith(
        "torch.ao's PT2E cannot quantize what is captured non-strict"
    )


def test_what_is_captured_non_strict_says_so(tmp_path: Path) -> None:
    axes = "pattern: one_linear, capture: [strict, non_strict], quantizer: int8_dynamic"
    captured = {
        case.capture: PIPELINES["pt2e"].capture(
            build_model(case), build_batches(case).first, dynamic_batch=False, strict=case.capture == "strict"
        )()
        for case in written_cases(tmp_path, f"suites: {{s: {{axes: {{{axes}}}}}}}")
    }
    stacks = {
        name: ["source_fn_stack" in node.meta for node in program.graph.nodes if node.op == "call_function"]
        for name, program in captured.items()
        if isinstance(program, fx.GraphModule)
    }

    assert stacks == {"strict": [True], "non_strict": [False]}
