"""Faults find their places in the programs of both pipelines, and change what they say they change."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import fx

from mutants.faults import FAULTS
from mutants.faults.fault import Point
from mutants.planting import NotPlanted, Plant
from mutants.programs import Program
from mutants.subjects import Subject, Unsound, cases, subject_of
from mutants.weights import Weight, quantized_weights
from qatrix.claims import DEFAULT_PIPELINES
from qatrix.pipelines.pattern_cache import pattern_cache

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::UserWarning")]
BOTH = pytest.mark.parametrize("pipeline", DEFAULT_PIPELINES)
KINDS = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def normed() -> Iterator[Subject]:
    """Two convolutions with batch norms, after a pass of training."""
    with pattern_cache():
        yield subject_of(cases("fake_quantized/normed_convs/*")[0], FAULTS)


@pytest.fixture(scope="module")
def programs(normed: Subject) -> dict[str, fx.GraphModule]:
    """The converted programs of the subject, of one run of both pipelines."""
    kept: dict[str, fx.GraphModule] = {}

    def keeping(pipeline: str) -> Callable[[Point, fx.GraphModule], None]:
        def keep(point: Point, program: fx.GraphModule) -> None:
            if point == "converted":
                kept[pipeline] = copy.deepcopy(program)

        return keep

    normed.planted({name: (keeping(name),) for name in DEFAULT_PIPELINES}, diagnose=False)
    return kept


@pytest.fixture
def converted(normed: Subject, programs: dict[str, fx.GraphModule]) -> Callable[[str], Program]:
    """Gives a pipeline's converted program, for this test alone."""
    return lambda pipeline: Program(copy.deepcopy(programs[pipeline]), normed.layout)


def weight_of(program: Program, layer: str) -> Weight:
    return next(weight for weight in quantized_weights(program) if weight.layer == layer)


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        ("activation_scale_doubled", ("x", "relu1", "norm2")),
        ("weight_scale_of_one_channel", ("conv1", "conv2")),
        ("bias_dropped", ("conv1", "conv2")),
        ("norm_eps_prepared", ("norm1", "norm2")),
        ("norm_folded_twice", ("norm1", "norm2")),
        ("relu_lost", ("relu1",)),
        ("padding", ("conv1", "conv2")),
        ("observer_blind", ("x", "relu1", "norm2")),
        ("weight_observer_stale", ("conv1", "conv2")),
        ("dropout_live", ()),
    ],
)
@BOTH
def test_a_fault_finds_the_same_layers_in_the_programs_of_both(
    normed: Subject, pipeline: str, kind: str, layers: tuple[str, ...]
) -> None:
    assert normed.layers[pipeline][kind] == layers


@BOTH
def test_weights_are_read_and_written_as_integers(converted: Callable[[str], Program], pipeline: str) -> None:
    weight = weight_of(converted(pipeline), "conv2")
    codes = weight.codes()
    weight.put(-codes)

    assert codes.unique().numel() > 20
    assert torch.equal(weight.codes(), -codes)


@BOTH
def test_other_scales_leave_the_integers_as_they_are(converted: Callable[[str], Program], pipeline: str) -> None:
    weight = weight_of(converted(pipeline), "conv2")
    codes, scales, points = weight.codes(), weight.scales(), weight.zero_points()
    weight.rescale(scales * 2, points, axis=weight.axis)

    assert (scales.numel(), weight.axis) == (5, 0)
    assert torch.equal(weight.scales(), scales * 2)
    assert torch.equal(weight.codes(), codes)


@BOTH
def test_a_bias_is_read_changed_and_taken_away(converted: Callable[[str], Program], pipeline: str) -> None:
    weight = weight_of(converted(pipeline), "conv2")
    bias = weight.bias()
    assert bias is not None
    weight.put_bias(bias * 2)
    doubled = weight.bias()
    weight.put_bias(None)

    assert doubled is not None
    assert torch.equal(doubled, bias * 2)
    assert weight.bias() is None


def test_the_integers_of_both_pipelines_are_the_same_for_a_layer(converted: Callable[[str], Program]) -> None:
    left, right = (weight_of(converted(name), "conv1") for name in DEFAULT_PIPELINES)

    assert torch.equal(left.codes(), right.codes())
    assert torch.equal(left.scales(), right.scales())


def test_what_finds_places_changes_nothing(converted: Callable[[str], Program]) -> None:
    program = converted("fx")
    before = program.module.code
    for fault in FAULTS:
        if fault.point == "converted":
            list(fault.find(program))

    assert program.module.code == before


def test_a_fault_without_a_place_is_an_error_and_no_killed_mutant(normed: Subject) -> None:
    plant = Plant(normed.layout, KINDS["relu_lost"], "conv2")
    record = normed.planted({"fx": (plant,)}, diagnose=False)

    assert record.verdict == "failed", "to the case it looks like an error of the pipeline"
    with pytest.raises(NotPlanted, match="relu_lost could not be planted at conv2: KeyError"):
        plant.demand()


def test_a_fault_whose_point_is_not_reached_is_an_error(normed: Subject) -> None:
    with pytest.raises(NotPlanted, match="its point was not reached"):
        Plant(normed.layout, KINDS["relu_lost"], "relu1").demand()


def test_a_case_that_does_not_end_well_without_a_fault_is_no_subject() -> None:
    (case,) = cases("calibrated/plain_convs/*")
    with pytest.raises(Unsound, match="is skipped without a fault"):
        subject_of(replace(case, skip="it is not to run"), ())
