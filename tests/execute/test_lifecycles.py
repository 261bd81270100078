"""Programs that are saved, loaded, copied, averaged, evaluated in training and called again: which steps change them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.execute.lifecycles import Life, disturbed, shared_tensors
from qatrix.outcomes import CheckOutcome, Record
from qatrix.pipelines import PIPELINES, Pipeline
from qatrix.pipelines.batches import build_batches
from support.altered import with_altered
from support.cases import written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

PTQ = "xnnpack_int8_per_channel_ptq"
QAT = "xnnpack_int8_per_channel_qat, train_steps: 2"
TRAINING = ("average", "eval_and_train")
BOTH = ("pt2e", "fx")


@pytest.fixture(name="case")
def _case(tmp_path: Path) -> Callable[..., Case]:
    """Declares a case of a pattern and a quantizer with a lifecycle."""

    def declared(lifecycle: str, *, pattern: str = "two_linear", quantizer: str = PTQ, declared: str = "") -> Case:
        axes = f"pattern: {pattern}, quantizer: {quantizer}, lifecycle: {lifecycle}"
        (made,) = written_cases(tmp_path, f"{declared}\nsuites: {{s: {{axes: {{{axes}}}}}}}")
        return made

    return declared


def survival(record: Record) -> dict[str, CheckOutcome]:
    """The check of the lifecycle by pipeline."""
    return {check.pipeline: check for check in record.checks if check.name == "survives_lifecycle"}


def run(case: Case, pipelines: Any = None) -> Record:
    return run_case(case, pipelines, diagnose="never")


@pytest.mark.parametrize("lifecycle", ["save_load", "checkpoint", "deepcopy", "repeat"])
def test_a_calibrated_program_survives(case: Callable[..., Case], lifecycle: str) -> None:
    record = run(case(lifecycle))

    assert record.verdict == "exact", record.summary
    assert {name: check.status for name, check in survival(record).items()} == dict.fromkeys(BOTH, "passed")


@pytest.mark.parametrize("lifecycle", ["save_load", "checkpoint", "deepcopy", "average", "eval_and_train", "repeat"])
def test_a_trained_program_survives(case: Callable[..., Case], lifecycle: str) -> None:
    record = run(case(lifecycle, pattern="conv_bn_relu, dim: 2", quantizer=QAT))

    assert record.verdict == "exact", record.summary
    assert {name: check.status for name, check in survival(record).items()} == dict.fromkeys(BOTH, "passed")
    for outcome in record.pipelines.values():
        assert lifecycle in {stage.name for stage in outcome.stages}
        assert sum(stage.seconds for stage in outcome.stages) <= record.seconds


def test_a_case_without_a_lifecycle_has_no_such_check(case: Callable[..., Case]) -> None:
    record = run(case("none"))

    assert record.verdict == "exact"
    assert not survival(record)


def test_a_state_dict_survives_where_no_scale_of_an_activation_is_in_the_code(case: Callable[..., Case]) -> None:
    record = run(case("state_dict", pattern="one_linear", quantizer="int8_dynamic"))

    assert record.verdict == "exact", record.summary
    assert {check.status for check in survival(record).values()} == {"passed"}


def test_a_state_dict_leaves_out_the_scales_of_activations(case: Callable[..., Case]) -> None:
    record = run(case("state_dict"))

    for check in survival(record).values():
        assert check.status == "failed"
        assert str(check.message).startswith("after convert it gives other values than without state_dict: ")


def test_an_evaluation_changes_the_probability_of_a_dropout_in_pt2e_alone(case: Callable[..., Case]) -> None:
    checks = survival(run(case("eval_and_train", pattern="linear_dropout", quantizer=QAT)))

    assert "dropout has the arguments (0.25, True) before evaluation, and (0.5, True) after it" in str(
        checks["pt2e"].message
    )
    assert checks["fx"].status == "passed"


def test_an_evaluation_thaws_batch_norms_in_pt2e_alone(case: Callable[..., Case]) -> None:
    frozen = f"{QAT}, batch_norm: frozen"
    checks = survival(run(case("eval_and_train", pattern="conv_bn_relu, dim: 2", quantizer=frozen)))

    assert {name: check.status for name, check in checks.items()} == {"pt2e": "failed", "fx": "passed"}


def test_a_copy_of_a_program_for_dynamic_quantization_cannot_be_converted_in_pt2e(case: Callable[..., Case]) -> None:
    record = run(case("deepcopy", pattern="one_linear", quantizer="int8_dynamic"))

    assert (record.pipelines["pt2e"].failed_stage, record.pipelines["fx"].status) == ("convert", "ok")
    assert set(survival(record)) == {"fx"}


@pytest.mark.parametrize("name", BOTH)
def test_an_error_in_a_step_is_of_the_lifecycle(case: Callable[..., Case], name: str) -> None:
    def lost(_: object) -> nn.Module:
        msg = "planted"
        raise OSError(msg)

    record = run(case("save_load"), with_altered(name, saved_and_loaded=lost))

    assert record.summary.startswith(f"{name} failed at save_load: OSError: planted")


def test_an_average_that_begins_before_the_program_has_run_fails(case: Callable[..., Case]) -> None:
    record = run(case("average", quantizer=f"{QAT}, calibration_batches: 0"))

    assert {outcome.failed_stage for outcome in record.pipelines.values()} == {"average"}


@pytest.mark.parametrize("lifecycle", TRAINING)
def test_a_lifecycle_of_training_is_skipped_where_nothing_trains(tmp_path: Path, lifecycle: str) -> None:
    axes = f"pattern: two_linear, quantizer: [{PTQ}, xnnpack_int8_per_channel_qat], train_steps: 1"
    text = f"suites: {{s: {{axes: {{{axes}, lifecycle: [none, {lifecycle}]}}}}}}"
    skipped = {item.case_id: item.skip for item in written_cases(tmp_path, text) if item.skip is not None}

    assert list(skipped.values()) == [f"lifecycle {lifecycle} needs training steps, and {PTQ} does not train"]


def larger(program: nn.Module) -> nn.Module:
    """The program with the first of its scales doubled, as a format that loses bits would give it back."""
    scale = next(item for key, item in program.state_dict().items() if "scale" in key and isinstance(item, Tensor))
    scale.mul_(2)
    return program


@pytest.mark.parametrize("name", BOTH)
def test_a_scale_that_a_file_loses_is_noticed(case: Callable[..., Case], name: str) -> None:
    checks = survival(run(case("save_load"), with_altered(name, saved_and_loaded=larger)))

    assert {pipeline for pipeline, check in checks.items() if check.status == "failed"} == {name}


@pytest.mark.parametrize(
    ("lifecycle", "quantizer"), [("checkpoint", PTQ), ("checkpoint", QAT), ("state_dict", "int8_dynamic")]
)
def test_a_scale_that_a_state_dict_loses_is_noticed(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch, lifecycle: str, quantizer: str
) -> None:
    load: Callable[..., Any] = nn.Module.load_state_dict

    def partly(self: nn.Module, state: dict[str, Any], strict: bool = True) -> object:
        kept = {key: item for key, item in state.items() if "scale" not in key and "val" not in key}
        return load(self, kept, strict and len(kept) == len(state))

    declared = case(lifecycle, quantizer=quantizer)
    monkeypatch.setattr(nn.Module, "load_state_dict", partly)
    checks = survival(run(declared))

    assert {check.status for check in checks.values()} == {"failed"}


def test_a_copy_that_shares_its_memory_is_noticed(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    declared = case("deepcopy")
    life = Life(case=declared, pipeline=PIPELINES["fx"], batches=build_batches(declared))
    monkeypatch.setattr(copy, "deepcopy", lambda program: program)
    life.copied(nn.Linear(2, 2))

    assert life.faults == ["the copy and the original share weight", "the copy and the original share bias"]


def test_an_average_that_is_none_is_noticed(case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch) -> None:
    class First(AveragedModel):
        """Takes in the first step alone."""

        def update_parameters(self, model: nn.Module) -> None:
            if not self.n_averaged:
                super().update_parameters(model)

    monkeypatch.setattr("qatrix.execute.steps.AveragedModel", First)
    checks = survival(run(case("average", quantizer=QAT)))

    assert {check.status for check in checks.values()} == {"failed"}
    assert all("off the mean of its values" in str(check.message) for check in checks.values())


def test_a_buffer_that_an_evaluation_changes_is_noticed(case: Callable[..., Case]) -> None:
    altered = {**PIPELINES, "fx": Observing(PIPELINES["fx"])}
    checks = survival(run(case("eval_and_train", quantizer=QAT), altered))

    assert checks["pt2e"].status == "passed"
    assert str(checks["fx"].message).startswith("evaluation changes ")


class Observing:
    """A pipeline whose observers stay on when they are switched off."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self.disable_observers = pipeline.enable_observers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)


class Counting(nn.Module):
    """A linear layer, and how many samples it has seen in all calls."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The layer of x, and the number of samples up to these."""
        return self.linear(x), self.seen.add_(x.shape[0])


COUNTING = "patterns: {written: {model: torch.nn.Written, inputs: {x: {shape: [3, 4]}}}}"


def test_calls_one_after_another_agree_with_the_float_models(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn, "Written", Counting, raising=False)
    record = run(case("repeat", pattern="written", declared=COUNTING))

    assert {check.status for check in survival(record).values()} == {"passed"}, record.summary
    (compared,) = [item for item in record.comparisons if item.at == "repeat"]
    assert compared.total == 3 * (3 * 4 + 1)
    assert compared.where == "in calls one after another"


@pytest.mark.parametrize("lifecycle", ["save_load", "checkpoint", "deepcopy"])
def test_a_program_that_counts_its_calls_survives(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch, lifecycle: str
) -> None:
    monkeypatch.setattr(nn, "Written", Counting, raising=False)
    record = run(case(lifecycle, pattern="written", declared=COUNTING))

    assert record.verdict == "exact", record.summary


@pytest.mark.parametrize("name", BOTH)
def test_a_state_that_is_forgotten_between_calls_is_noticed(
    case: Callable[..., Case], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def forgetful(program: nn.Module) -> nn.Module:
        program.register_forward_pre_hook(forget)
        return program

    def forget(program: nn.Module, _: object) -> None:
        program.get_buffer("seen").zero_()

    monkeypatch.setattr(nn, "Written", Counting, raising=False)
    checks = survival(run(case("repeat", pattern="written", declared=COUNTING), with_altered(name, convert=forgetful)))

    assert checks[name].status == "failed"
    assert str(checks[name].message).startswith("call 2 gives something else than the float model's call 2")
    assert {check.status for pipeline, check in checks.items() if pipeline != name} == {"passed"}


def test_tensors_of_a_copy_are_its_own() -> None:
    layer = nn.BatchNorm1d(2)

    assert shared_tensors(layer, layer) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert shared_tensors(layer, copy.deepcopy(layer)) == []


def test_another_model_has_other_numbers_and_positive_variances() -> None:
    one, other = nn.BatchNorm1d(2).state_dict(), disturbed(nn.BatchNorm1d(2), 1).state_dict()
    larger = [name for name in one if bool((one[name] < other[name]).all())]

    assert larger == ["weight", "bias", "running_mean", "running_var"]
