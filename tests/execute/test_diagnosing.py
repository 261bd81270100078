"""Why two real pipelines differ: the right layer, the right pipeline, and causes with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qatrix.codec import dumps, loads
from qatrix.diagnoses import Cause, Diagnosis
from qatrix.execute.diagnosing import diagnose, draw
from qatrix.execute.options import Execution
from qatrix.execute.workers import torch_ready
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Pipeline
from support.cases import shipped_cases
from support.contradictions import contradictions
from support.diagnosing import Prepared, case_of, prepared_pipelines, random_plants

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module", autouse=True)
def run() -> Iterator[Callable[..., Record]]:
    """What runs a case, with the patterns of PT2E memoised, and with one thread."""
    threads = torch.get_num_threads()
    with torch_ready(Execution(diagnose="never")) as ready:
        yield ready
    torch.set_num_threads(threads)


PTQ: dict[str, object] = {"quantizer": "xnnpack_int8_per_channel_ptq"}


def first_of(diagnosis: Diagnosis) -> tuple[str, str, str] | None:
    first = diagnosis.first
    return (first.at, first.layer, first.value) if first is not None else None


def explaining(diagnosis: Diagnosis) -> dict[str, Cause]:
    return {cause.name: cause for cause in diagnosis.causes if cause.explains_first}


# The truth in each is read from the sources of torch and torchao: torchao's fused pattern for training has eps
# 1e-5 and the default momentum and copies no literals of batch norm (quantization/pt2e/qat_utils.py); the
# reference convolutions of torch.ao never read padding_mode; XNNPACKQuantizer annotates no conv3d and no
# avg_pool2d; FX shares the observer of an input with avg_pool2d, relu and an addition of a constant, fuses
# modules and functions but no methods with batch norm, and one module that is called twice with what follows
# one call; PT2E folds batch norms after training into the convolution before, whoever else reads that, quantizes
# nothing in nested graphs, and switches no dropout but the plain one to evaluation.
@pytest.mark.parametrize(
    ("pattern", "params", "first", "nearer", "cause", "kind", "pipeline", "evidence"),
    [
        pytest.param("conv_norm", {"padding_mode": "reflect"}, ("convert", "bn", "computed"), "pt2e", "padding_mode_ignored", "defect", "fx", "never reads padding_mode", id="padding_mode"),
        pytest.param("conv_norm", {"eps": 1.0e-3}, ("prepare", "bn", "computed"), None, "batch_norm_eps_replaced", "defect", "pt2e", "its scale factor has eps=1e-05", id="eps_1e-3"),
        pytest.param("conv_norm", {"eps": 0.1}, ("prepare", "bn", "computed"), "fx", "batch_norm_eps_replaced", "defect", "pt2e", "its batch norm has eps=1e-05", id="eps_0.1"),
        pytest.param("conv_norm", {"momentum": 0.01}, ("convert", "bn", "computed"), "fx", "batch_norm_momentum_replaced", "defect", "pt2e", "its batch norm has momentum=0.1", id="momentum"),
        pytest.param("conv3d_norm_relu", {}, ("prepare", "conv", "computed"), None, "left_unquantized", "one_pipeline", "pt2e", "its input x, conv.weight", id="conv3d"),
        pytest.param("relu_as_method", {}, ("prepare", "bn", "quantized"), "pt2e", "not_fused", "one_pipeline", "fx", "quantizes the output of bn", id="relu_as_method"),
        pytest.param("functional", {}, ("prepare", "conv2d", "quantized"), "pt2e", "not_fused", "one_pipeline", "fx", "quantizes the output of conv2d", id="functional"),
        pytest.param("five_pairs", {}, ("prepare", "b3", "computed"), "fx", "batch_norm_eps_replaced", "defect", "pt2e", "b3 has eps=0.1", id="third_of_five"),
        pytest.param("one_conv_twice", {}, ("prepare", "conv@2", "computed"), "pt2e", "one_batch_norm_for_two", "defect", "fx", "conv is called 2 times, followed by b1, b2", id="one_conv_twice"),
        pytest.param("plus_three", {}, ("prepare", "add", "quantized"), "pt2e", "shared_parameters", "by_design", "fx", "x and add share", id="plus_three"),
        pytest.param("linear_twice", {}, ("prepare", "lin@2", "computed"), "pt2e", "fused_for_all_calls", "defect", "fx", "lin is called 2 times; relu only after lin", id="linear_twice"),
        pytest.param("conv_read_elsewhere", PTQ, ("prepare", "conv", "computed"), "fx", "folded_though_read", "defect", "pt2e", "bn and add read conv", id="conv_read_elsewhere"),
        pytest.param("pooled_norm", PTQ, ("convert", "pool", "computed"), "pt2e", "left_unquantized", "one_pipeline", "pt2e", "its input x", id="norm_after_a_pool"),
        pytest.param("two_convs", {"quantizer": "x86_int8_ptq"}, ("convert", "conv2", "quantized"), "pt2e", "left_unquantized", "one_pipeline", "pt2e", "fx at prepare quantizes its output; pt2e does not", id="output_in_float"),
        pytest.param("frozen_stem", PTQ, ("convert", "relu", "computed"), "pt2e", "nested_graph", "one_pipeline", "pt2e", "wrap_with_set_grad_enabled runs stem and relu", id="no_grad"),
        pytest.param("dropped_channels", {}, ("convert", "drop", "computed"), "fx", "left_random", "defect", "pt2e", "aten.feature_dropout", id="dropout2d"),
        pytest.param("dropped_alpha", {}, ("convert", "drop", "computed"), "fx", "left_random", "defect", "pt2e", "aten.alpha_dropout", id="alpha_dropout"),
        pytest.param("relu_as_module", {"quantizer": "conv_relu_alone_ptq"}, ("prepare", "bn", "computed"), "fx", "fusion_not_declared", "by_design", None, "annotate: conv_relu", id="conv_relu_alone"),
        pytest.param("attention", PTQ, ("convert", "getitem", "computed"), "fx", "left_unquantized", "one_pipeline", "fx", "attention.weight, attention.input", id="attention"),
        pytest.param("pooled", {}, ("prepare", "pool", "computed"), "pt2e", "left_unquantized", "one_pipeline", "pt2e", "its input x", id="pooled"),
    ],
)  # fmt: skip
def test_a_known_difference_has_its_layer_its_nearer_pipeline_and_its_cause(
    tmp_path: Path,
    pattern: str,
    params: dict[str, object],
    first: tuple[str, str, str],
    nearer: str | None,
    cause: str,
    kind: str,
    pipeline: str | None,
    evidence: str,
) -> None:
    diagnosis = diagnose(case_of(tmp_path, pattern, params))

    assert first_of(diagnosis) == first
    assert diagnosis.nearer == nearer
    found = explaining(diagnosis)[cause]
    assert (found.kind, found.pipeline) == (kind, pipeline)
    assert any(evidence in said for said in found.evidence), found.evidence
    assert loads(Diagnosis, dumps(diagnosis)) == diagnosis
    assert contradictions(diagnosis) == ()


def test_the_statistics_that_a_functional_batch_norm_keeps_are_named_where_they_matter(tmp_path: Path) -> None:
    diagnosis = diagnose(case_of(tmp_path, "functional"))
    cause = next(cause for cause in diagnosis.causes if cause.name == "batch_norm_left_in_training")

    assert (cause.pipeline, cause.kind, cause.explains_at) == ("fx", "defect", ("convert",))


@pytest.mark.parametrize("pattern", ["conv_norm", "relu_as_module", "twelve_layers"])
def test_an_exact_case_parts_nowhere_and_has_no_cause(tmp_path: Path, pattern: str) -> None:
    diagnosis = diagnose(case_of(tmp_path, pattern))

    assert (diagnosis.first, diagnosis.causes, diagnosis.notes) == (None, (), ())
    assert [point.at for point in diagnosis.points] == ["prepare", "convert"]
    assert all(row.status == "same" for point in diagnosis.points for row in point.parameters)
    assert all(row.different == 0 for row in diagnosis.points[1].codes)


@pytest.mark.slow
def test_fifty_planted_faults_are_each_found_at_their_layer(tmp_path: Path) -> None:
    case = case_of(tmp_path, "twelve_layers")
    pipelines = prepared_pipelines()
    missed = []
    for plant in random_plants(50, seed=20):
        for pipeline in pipelines.values():
            assert isinstance(pipeline, Prepared)
            pipeline.plant = plant
        first = diagnose(case, pipelines=pipelines).first
        wanted = plant.root if plant.kind == "weight" else plant.layer
        if first is None or first.at != plant.at or wanted not in {first.layer, *first.covers}:
            missed.append((plant, first))

    assert missed == []


def test_a_planted_weight_is_unexplained_and_never_guessed(tmp_path: Path) -> None:
    pipelines = prepared_pipelines()
    plant = next(plant for plant in random_plants(50, seed=3) if plant.kind == "weight")
    for pipeline in pipelines.values():
        assert isinstance(pipeline, Prepared)
        pipeline.plant = plant
    diagnosis = diagnose(case_of(tmp_path, "twelve_layers"), pipelines=pipelines)

    assert [(cause.name, cause.kind, cause.layer) for cause in diagnosis.causes] == [
        ("unexplained", "unexplained", plant.root)
    ]


def test_what_recording_runs_is_what_the_case_runs(tmp_path: Path, run: Callable[..., Record]) -> None:
    case = case_of(tmp_path, "five_pairs")
    record, diagnosis = run(case), diagnose(case)

    assert {name: outcome.sqnr_db for name, outcome in record.pipelines.items()} == diagnosis.points[-1].sqnr_db


@pytest.mark.slow
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v2"])
def test_whole_models_are_aligned_layer_by_layer(model: str) -> None:
    case, *_ = shipped_cases(f"{model}/*per_channel*")
    diagnosis = diagnose(case)

    assert diagnosis.notes == ()
    assert diagnosis.first is None
    both = [row for row in diagnosis.points[0].layers if row.left_node and row.right_node]
    assert len(both) == len(diagnosis.points[0].layers) > 100


class FailingInConvert:
    """FX graph mode, but for convert."""

    def __getattr__(self, name: str) -> object:
        return getattr(PIPELINES["fx"], name)

    def convert(self, *_: object) -> nn.Module:
        msg = "planted"
        raise RuntimeError(msg)


def with_a_failing_fx() -> dict[str, Pipeline]:
    return {**PIPELINES, "fx": FailingInConvert()}  # type: ignore[dict-item]  # the other stages are delegated


def test_a_pipeline_that_fails_leaves_a_note_and_what_was_seen_before(tmp_path: Path) -> None:
    diagnosis = diagnose(case_of(tmp_path, "conv_norm", {"eps": 0.1}), pipelines=with_a_failing_fx())

    assert [point.at for point in diagnosis.points] == ["prepare"]
    assert diagnosis.first is not None
    assert any("fx did not run to its end" in note and "planted" in note for note in diagnosis.notes)


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_model_that_cannot_be_traced_is_a_note_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.execute.diagnosing.build_model", lambda _: Branching())
    diagnosis = diagnose(case_of(tmp_path, "conv_norm"))

    assert diagnosis.points == ()
    assert any("no diagnosis" in note for note in diagnosis.notes)


def drawn_graphs(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    return [(point.at, graph.pipeline) for point in diagnosis.points for graph in point.graphs]


def test_the_graphs_of_an_exact_case_are_those_of_its_diagnosis(tmp_path: Path) -> None:
    case = case_of(tmp_path, "relu_as_module")
    drawing = draw(case)

    assert drawing.notes == ()
    assert [point.graphs for point in drawing.points] == [point.graphs for point in diagnose(case).points]
    assert {line.layer for line in drawing.points[1].graphs[1].lines} >= {"x", "relu"}


def test_one_pipeline_alone_is_drawn_too(tmp_path: Path) -> None:
    case = replace(case_of(tmp_path, "conv_norm"), pipelines=("pt2e",))

    assert drawn_graphs(draw(case)) == [("prepare", "pt2e"), ("convert", "pt2e")]


def test_what_a_pipeline_got_as_far_as_is_drawn(tmp_path: Path) -> None:
    drawing = draw(case_of(tmp_path, "conv_norm"), pipelines=with_a_failing_fx())

    assert drawn_graphs(drawing) == [("prepare", "pt2e"), ("prepare", "fx"), ("convert", "pt2e")]
    assert any("fx did not run to its end: failed at convert: planted" in note for note in drawing.notes)


def test_a_model_that_cannot_be_traced_is_drawn_without_its_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qatrix.execute.diagnosing.build_model", lambda _: Branching())
    drawing = draw(case_of(tmp_path, "conv_norm"))

    assert len(drawn_graphs(drawing)) == 4
    assert all(line.layer is None for point in drawing.points for graph in point.graphs for line in graph.lines)
    assert any("the lines name no layers, because the float model cannot be traced" in note for note in drawing.notes)


def test_a_case_that_cannot_be_built_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> nn.Module:
        msg = "planted"
        raise RuntimeError(msg)

    monkeypatch.setattr("qatrix.execute.diagnosing.build_model", broken)

    assert draw(case_of(tmp_path, "conv_norm")).notes == ("no graphs: RuntimeError: planted",)


def test_a_case_that_runs_for_its_graphs_has_nothing_else_diagnosed(tmp_path: Path) -> None:
    with torch_ready(Execution(diagnose="graphs")) as run:
        record = run(case_of(tmp_path, "conv_norm", {"eps": 0.1}))

    assert record.verdict == "diverged"
    assert record.diagnosis is not None
    assert (len(drawn_graphs(record.diagnosis)), record.diagnosis.causes) == (4, ())
