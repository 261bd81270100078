"""Training: what a step does, what two pipelines are compared by after it, and that none of it leaks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qatrix.declare.spec import Case, Training
from qatrix.execute.captures import Captures
from qatrix.execute.case import run_case
from qatrix.execute.passes import forward, set_training
from qatrix.execute.stages import run_stages
from qatrix.execute.training import LEARNING_RATE, FloatNames, Trained, train_float
from qatrix.outcomes import COMPARED, LOWERED, REPEATED, STAGES, Comparison, Record
from qatrix.pipelines import PIPELINES, Pipeline
from qatrix.pipelines.batches import build_batches, build_inputs
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.models import build_model
from support.cases import shipped_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

CASE = shipped_cases("training/conv_bn/dim=1,*per_channel*train_steps=5*")[0]
STILL = replace(CASE, training=None)
FROZEN = replace(CASE, training=Training(steps=5, batch_norms="frozen"))


def trained(case: Case, name: str) -> tuple[Trained, dict[str, Tensor]]:
    """What training gave in one pipeline, and the program's buffers as they were then."""
    seen: dict[str, Any] = {}

    def observe(point: str, program: nn.Module, outputs: object) -> None:
        if point == "train":
            buffers = {key: buffer.clone() for key, buffer in program.named_buffers()}
            seen.update(trained=outputs, buffers=buffers)

    outcome = run_stages(case, name, PIPELINES[name], build_batches(case), observe)
    assert outcome.status == "ok", outcome.error
    return seen["trained"], seen["buffers"]


def comparison(record: Record, at: str) -> Comparison:
    return next(item for item in record.comparisons if item.at == at)


@pytest.fixture(scope="module")
def record() -> Record:
    return run_case(CASE, diagnose="never")


def test_a_case_that_trains_has_one_more_stage(record: Record) -> None:
    for outcome in record.pipelines.values():
        assert tuple(stage.name for stage in outcome.stages) == STAGES


def test_what_training_gave_is_compared_between_the_outputs(record: Record) -> None:
    assert [item.at for item in record.comparisons] == [point for point in COMPARED if point not in {REPEATED, LOWERED}]
    # 5 losses; 3x3x3 + 3 of the convolution and 3 + 3 of the batch norm; means, variances and a count.
    assert {item.at: item.total for item in record.comparisons if item.at.startswith("train_")} == {
        "train_loss": 5,
        "train_gradients": 36,
        "train_parameters": 36,
        "train_statistics": 7,
    }


def test_a_case_without_steps_is_what_it_was() -> None:
    (before,) = shipped_cases("conv_bn_fusion/*dim=1,*per_channel*")
    first, second = run_case(before, diagnose="never"), run_case(STILL, diagnose="never")

    assert first.comparisons == second.comparisons
    assert [item.at for item in second.comparisons] == ["prepare", "convert"]
    assert first.pipelines["pt2e"].sqnr_db == second.pipelines["pt2e"].sqnr_db


def test_a_suite_that_compares_nothing_compares_no_training() -> None:
    assert run_case(replace(CASE, compare=()), diagnose="never").comparisons == ()


def test_training_changes_the_converted_model(record: Record) -> None:
    still = run_case(STILL, diagnose="never")

    assert record.pipelines["pt2e"].sqnr_db != still.pipelines["pt2e"].sqnr_db


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_each_step_lowers_the_loss(name: str) -> None:
    losses = list(trained(CASE, name)[0].losses.values())

    assert len(losses) == 5
    assert all(later < earlier for earlier, later in itertools.pairwise(losses))


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_everything_is_called_as_in_the_float_model(name: str) -> None:
    model = build_model(CASE)
    found, _ = trained(CASE, name)

    assert set(found.parameters) == set(found.gradients) == {key for key, _ in model.named_parameters()}
    assert set(found.statistics) == {key for key, _ in model.named_buffers()}


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_a_step_is_one_of_gradient_descent(name: str) -> None:
    before = dict(build_model(CASE).named_parameters())
    found, _ = trained(replace(CASE, training=Training(steps=1)), name)

    for key, gradient in found.gradients.items():
        assert torch.equal(found.parameters[key], torch.add(before[key], gradient, alpha=-LEARNING_RATE))


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_frozen_batch_norms_keep_the_statistics_of_the_first_forward(name: str) -> None:
    five, _ = trained(FROZEN, name)
    one, _ = trained(replace(CASE, training=Training(steps=1, batch_norms="frozen")), name)
    model = build_model(CASE)

    assert five.statistics.keys() == {"bn.running_mean", "bn.running_var"}
    for key, value in five.statistics.items():
        assert torch.equal(value, one.statistics[key])
        assert not torch.equal(value, model.get_buffer(key))


@pytest.mark.parametrize("name", ["pt2e", "fx"])
def test_observers_that_are_switched_off_keep_their_scales(name: str) -> None:
    def scales(training: Training) -> list[Tensor]:
        _, buffers = trained(replace(CASE, training=training), name)
        return [buffer for key, buffer in buffers.items() if key.endswith(".scale")]

    one, five = (scales(Training(steps=count, observers="disabled")) for count in (1, 5))
    moved = scales(Training(steps=5))

    assert len(five) == 3
    assert all(map(torch.equal, one, five))
    assert not all(map(torch.equal, moved, five))


def test_the_float_model_is_trained_as_the_others_are() -> None:
    inputs = build_inputs(CASE)
    models = [build_model(CASE) for _ in range(2)]
    for model in models:
        forward(model, inputs)
    assert CASE.training is not None
    assert FROZEN.training is not None
    train_float(CASE, CASE.training, model=models[0], inputs=inputs)
    train_float(FROZEN, FROZEN.training, model=models[1], inputs=inputs)
    free, frozen = (dict(model.named_buffers()) for model in models)

    assert (int(free["bn.num_batches_tracked"]), int(frozen["bn.num_batches_tracked"])) == (6, 1)
    assert all(item.grad is None for model in models for item in model.parameters())
    # What is quantized goes nearly the same way, but for weights that are clipped.
    start = build_model(CASE).get_parameter("conv.weight")
    float_way = (models[0].get_parameter("conv.weight") - start).flatten()
    quantized_way = (trained(CASE, "fx")[0].parameters["conv.weight"] - start).flatten()
    assert nn.functional.cosine_similarity(float_way, quantized_way, dim=0) > 0.9


def test_a_model_without_parameters_cannot_be_trained() -> None:
    assert CASE.training is not None
    with pytest.raises(ValueError, match="empty parameter list"):
        train_float(CASE, CASE.training, model=nn.ReLU(), inputs=Inputs.of(torch.zeros(1)))


def test_outputs_without_floating_point_numbers_cannot_be_trained_on() -> None:
    class Largest(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.weight).argmax()

    assert CASE.training is not None
    with pytest.raises(ValueError, match="no output to train on"):
        train_float(CASE, CASE.training, model=Largest(), inputs=Inputs.of(torch.zeros(3)))


def test_a_trained_case_leaves_the_captures_as_they_were() -> None:
    captures = Captures()
    first = run_case(STILL, captures=captures, diagnose="never")
    run_case(CASE, captures=captures, diagnose="never")
    again = run_case(STILL, captures=captures, diagnose="never")

    assert first.comparisons == again.comparisons
    assert [item.sqnr_db for item in first.pipelines.values()] == [item.sqnr_db for item in again.pipelines.values()]


def test_names_are_those_of_the_captured_model_and_others_keep_their_own() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    names = FloatNames([model])
    weight = model.get_parameter("0.weight")

    assert names.of([("fused.weight", weight), ("scale", torch.ones(1))]) == {
        "0.weight": weight,
        "scale": torch.ones(1),
    }


@dataclass(frozen=True)
class Tampered:
    """A pipeline whose prepared programs are changed by hand."""

    original: Pipeline
    change: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)

    def prepare(self, *args: Any, **kwargs: Any) -> nn.Module:
        prepared = self.original.prepare(*args, **kwargs)
        self.change(prepared)
        return prepared


def tampered(change: Any) -> Mapping[str, Pipeline]:
    """The pipelines, of which `change` gets hold of what FX prepares."""
    fx: Any = Tampered(PIPELINES["fx"], change)
    return {**PIPELINES, "fx": fx}


def test_a_gradient_that_differs_is_found_at_its_parameter() -> None:
    def double(program: nn.Module) -> None:
        weight: Any = program.get_parameter("conv.bn.weight")
        weight.register_hook(lambda gradient: 2 * gradient)

    record = run_case(CASE, tampered(double), diagnose="never")

    assert comparison(record, "prepare").status == "exact"
    assert comparison(record, "train_gradients").status == "diverged"
    assert str(comparison(record, "train_gradients").max_abs_at).startswith("['bn.weight']")
    assert record.verdict == "diverged"
    assert "in the gradients of the first step (bn.weight[" in record.summary


def test_a_parameter_that_one_pipeline_has_alone_is_a_difference() -> None:
    def add(program: nn.Module) -> None:
        program.register_parameter("extra", nn.Parameter(torch.zeros(1)))

    record = run_case(CASE, tampered(add), diagnose="never")

    assert comparison(record, "train_gradients").status == "exact"
    assert comparison(record, "train_parameters").message == "only fx has extra"
    assert record.verdict == "diverged"


def test_statistics_that_stand_still_in_one_pipeline_are_a_difference() -> None:
    record = run_case(CASE, tampered(lambda program: set_training(program.get_submodule("conv.bn"), False)))

    assert comparison(record, "train_statistics").status == "diverged"


def test_another_momentum_is_found_by_its_statistics_and_named() -> None:
    (case,) = shipped_cases("training_bn_momentum/conv_bn/dim=1,*")
    record = run_case(case)

    assert comparison(record, "prepare").status == "exact"
    assert str(comparison(record, "train_statistics").max_abs_at).startswith("['bn.running_var']")
    assert "momentum" in record.summary


def test_a_way_that_does_nothing_fails_the_case_instead_of_passing_for_it() -> None:
    (case,) = shipped_cases("training_batch_norms_frozen/linear_bn/*")
    record = run_case(case)

    assert (record.verdict, record.pipelines["fx"].failed_stage) == ("failed", "train")
    assert record.pipelines["pt2e"].status == "ok"
