"""Tests of report.lowered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qatrix.lowerings import FloatOp, Kernel, Lowering, Ran
from qatrix.outcomes import Record
from qatrix.report.lowered import (
    LoweredModel,
    RunsIn,
    is_own,
    lowered_facts,
    lowered_line,
    lowered_lines,
    lowered_models,
    lowered_tables,
    pipeline_of,
    runs_in,
)
from support.lowerings import (
    in_float,
    make_clamped,
    make_deployed,
    make_lowered,
    make_lowering,
    make_partly,
    make_ran,
    make_reference,
    make_unlowered,
)
from support.records import make_record

INTEGERS, FLOAT, MOVES = (Kernel(name=name, arithmetic=name) for name in ("integers", "float", "none"))
OP = FloatOp(op="aten.linear")


def model_of(record: Record, pipeline: str = "pt2e") -> LoweredModel:
    return next(model for model in lowered_models(record) if model.outcome.pipeline == pipeline)


@pytest.mark.parametrize(
    ("ran", "told"),
    [
        (Ran(kernels=(INTEGERS, MOVES)), "integers"),
        (Ran(kernels=(INTEGERS, FLOAT)), "integers"),
        (Ran(kernels=(MOVES,)), "integers"),
        (Ran(kernels=(INTEGERS, FLOAT), float_ops=(OP,)), "partly"),
        (Ran(kernels=(FLOAT,), float_ops=(OP,)), "float"),
        (Ran(kernels=(FLOAT, MOVES)), "float"),
        (Ran(float_ops=(OP,)), "float"),
        (Ran(delegated=3), "untold"),
        (None, "untold"),
    ],
)
def test_what_a_model_is_computed_in(ran: Ran | None, told: RunsIn) -> None:
    assert runs_in(Lowering(runtime="executorch", ran=ran)) == told
    assert runs_in(Lowering(runtime="my.own", ran=ran)) == told


@pytest.mark.parametrize("runtime", ["exported", "reexported"])
def test_a_runtime_that_is_the_converted_program_computes_as_the_reference_does(runtime: str) -> None:
    assert runs_in(Lowering(runtime=runtime, ran=Ran(kernels=(FLOAT,)))) == "reference"


@pytest.mark.parametrize(
    ("kernels", "told"),
    [((FLOAT,), "reference"), ((INTEGERS, FLOAT), "partly"), ((INTEGERS, MOVES), "integers")],
)
def test_kernels_that_aotinductor_finds_by_itself_are_told(kernels: tuple[Kernel, ...], told: RunsIn) -> None:
    assert runs_in(Lowering(runtime="aoti", ran=Ran(kernels=kernels))) == told


def test_nobody_knows_what_a_device_elsewhere_computed_in() -> None:
    assert runs_in(Lowering(runtime="recorded", ran=Ran())) == "untold"


def test_each_pipeline_that_got_as_far_has_its_model_beside_its_own_reference() -> None:
    told = [(model.deployed, model.off and model.off.max_steps) for model in lowered_models(make_deployed())]

    assert told == [("pt2e on executorch (partitioner xnnpack)", 1.0), ("fx on native (engine qnnpack)", 0.0)]
    assert [model.outcome.pipeline for model in lowered_models(make_unlowered())] == ["fx"]
    assert lowered_models(make_record()) == ()


def test_a_model_that_was_not_compared_has_no_figure_of_that() -> None:
    assert model_of(make_deployed(comparisons=())).off is None


def test_the_sides_of_a_comparison_are_pipelines() -> None:
    record = make_deployed()

    sides = ("pt2e", "fx on native", "pt2e on executorch", "nobody")
    assert [pipeline_of(record, side) for side in sides] == ["pt2e", "fx", "pt2e", "nobody"]
    assert [is_own(record, item) for item in record.comparisons] == [False, True, True, False]


def test_the_line_has_quality_distance_arithmetic_and_size() -> None:
    assert lowered_line(model_of(make_deployed())) == (
        "pt2e on executorch (partitioner xnnpack) 1.5.1: SQNR 36.2 dB, 1 quantization step from its reference, "
        "all that is quantized runs in integers, 12345 bytes"
    )
    assert lowered_line(model_of(make_deployed(comparisons=()), "fx")) == (
        "fx on native (engine qnnpack): SQNR 36.2 dB, all that is quantized runs in integers, 12345 bytes"
    )


def test_a_runtime_of_which_nothing_is_known_says_so() -> None:
    bare = make_lowered(lowering=Lowering(runtime="my.own"), sqnr_db=None)
    model = model_of(make_deployed(pipelines={"pt2e": bare}))

    assert lowered_line(model) == "pt2e on my.own: the runtime does not say what it computes in"
    assert lowered_facts(model) == (("computed", "the runtime does not say what it computes in"),)
    assert lowered_lines(model) == ()
    assert lowered_tables(model) == ()


def test_the_lines_have_the_first_departure_the_causes_with_evidence_and_notes() -> None:
    assert lowered_lines(model_of(make_clamped(), "fx")) == (
        "the runtime first leaves its reference at relu, which quantized::relu6 computes: up to 95 steps.",
        "Cause, defect: fx's clamp is wrong.",
        "  evidence: relu6 alone gives 95 steps on the same input",
    )
    assert lowered_lines(model_of(make_partly())) == ("Note: it was cut in two.",)


def test_an_op_that_does_not_show_it_by_itself_is_told() -> None:
    first = model_of(make_clamped(), "fx").lowering.first
    assert first is not None
    lowered = make_lowered(lowering=make_lowering(first=replace(first, alone=False), ran=make_ran(notes=("cut.",))))

    lines = lowered_lines(model_of(make_deployed(pipelines={"pt2e": lowered})))
    assert lines[0].endswith("up to 95 steps (lowered by itself, this op does not show it).")
    assert lines[1] == "Note: cut."


def test_the_facts_have_every_figure() -> None:
    assert dict(lowered_facts(model_of(make_partly()))) == {
        "version": "1.5.1",
        "SQNR of the reference, dB": "36.4",
        "SQNR in the runtime, dB": "36.2",
        "steps off the reference": "0.5",
        "computed": "only a part of it runs in integers",
        "ops delegated": "4",
        "ops left over": "3",
        "partitions": "2",
        "size, bytes": "12,345",
    }
    assert dict(lowered_facts(model_of(make_reference())))["computed"] == "it computes as the reference does"


def test_float_ops_come_before_the_kernels() -> None:
    lowered = make_lowered(lowering=make_lowering(ran=in_float("fc1", "fc2")))
    floats, kernels = lowered_tables(model_of(make_deployed(pipelines={"pt2e": lowered})))

    assert [[cell.text for cell in row] for row in floats.rows] == [
        ["fc1", "aten.linear", "no kernel takes it"],
        ["fc2", "aten.linear", "no kernel takes it"],
    ]
    assert kernels.title == "Kernels of pt2e on executorch (partitioner xnnpack): 3 ops"
    assert [[cell.text for cell in row] for row in kernels.rows] == [
        ["xnn_qs8_conv", "integers", "1", "conv"],
        ["xnn_f32_linear", "float", "2", "fc1, fc2"],
    ]
