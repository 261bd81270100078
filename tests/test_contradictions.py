"""What the reader of diagnoses calls a contradiction, and what it does not; and the diagnoses of whole runs.

`pytest tests/test_contradictions.py --results RUN` reads those of any run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.newest import run_store
from qatrix.diagnoses import Cause, Diagnosis, GraphLine, GraphText, ParameterRow, Parameters
from qatrix.report.store import Store
from qatrix.resources import folder
from support.contradictions import contradictions
from support.diagnoses import make_diagnosis, make_layer, make_point

QUANTIZED = Parameters(node="q", scale_min=0.5, scale_max=0.5, zero_point_min=0)


def diagnosis(
    sentence: str, *evidence: str, name: str = "left_unquantized", rows: tuple[ParameterRow, ...]
) -> Diagnosis:
    cause = Cause(name=name, kind="one_pipeline", sentence=sentence, evidence=evidence)
    return make_diagnosis(causes=(cause,), points=(make_point(parameters=rows),), nearer=None, nearer_because=None)


def only_fx(*tensors: str) -> tuple[ParameterRow, ...]:
    return tuple(ParameterRow(tensor=tensor, status="right_only", right=QUANTIZED) for tensor in tensors)


def both(tensor: str, *differing: str, left: Parameters = QUANTIZED) -> ParameterRow:
    status = "differs" if differing else "same"
    return ParameterRow(tensor=tensor, status=status, left=left, right=QUANTIZED, differing=differing)  # type: ignore[arg-type]  # one of both


IN_FLOAT = "pt2e leaves conv (Conv2d) in float, but fx quantizes it"
OUTPUT = "pt2e does not quantize the weight and the output of conv (Conv2d), but fx does"
SAID = "fx at prepare quantizes its output; pt2e does not"


@pytest.mark.parametrize("sentence", [IN_FLOAT, OUTPUT])
def test_what_the_tables_bear_out_is_no_contradiction(sentence: str) -> None:
    assert contradictions(diagnosis(sentence, SAID, rows=only_fx("conv", "conv.weight"))) == ()


@pytest.mark.parametrize("sentence", [IN_FLOAT, OUTPUT])
@pytest.mark.parametrize("tensor", ["conv", "conv.weight"])
def test_what_is_told_to_be_in_float_and_stands_in_the_table_is_one(sentence: str, tensor: str) -> None:
    (told,) = contradictions(diagnosis(sentence, SAID, rows=(both(tensor),)))

    assert told.startswith(f"{tensor} is quantized at prepare")


def test_an_input_that_is_told_to_be_in_float_and_stands_in_the_table_is_one() -> None:
    sentence = "pt2e does not quantize the input x of conv (Conv2d), but fx does"

    assert contradictions(diagnosis(sentence, SAID, rows=only_fx("x"))) == ()
    assert len(contradictions(diagnosis(sentence, SAID, rows=(both("x"),)))) == 1


def test_rows_that_differ_and_look_alike_are_one() -> None:
    (told,) = contradictions(diagnosis("they differ", rows=(both("conv", "scale"),)))

    assert "conv differs in scale" in told
    assert contradictions(diagnosis("they differ", rows=(both("conv", "eps", left=replace(QUANTIZED, eps=0.1)),))) == ()


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        pytest.param("different_specification", ("eps at prepare: pt2e 0.1, fx 0.1",), id="settings"),
        pytest.param(
            "shared_parameters",
            ("fx at prepare: x and add share scale 0.5, zero point 0", "pt2e at prepare: add has scale 0.5, zero point 0"),
            id="shared",
        ),
    ],
)  # fmt: skip
def test_equal_values_that_are_told_as_different_ones_are_one(name: str, evidence: tuple[str, ...]) -> None:
    assert len(contradictions(diagnosis("they differ", *evidence, name=name, rows=()))) == 1


def test_one_of_several_is_one() -> None:
    (told,) = contradictions(diagnosis("they are 1 quantization steps apart", rows=()))

    assert told.startswith("one of several")


def test_who_quantizes_nothing_and_is_called_nearer_is_one() -> None:
    idle = replace(diagnosis("they differ", rows=only_fx("x")), nearer="pt2e", nearer_because="it is")

    assert "pt2e quantizes nothing at prepare and is called the nearer one" in contradictions(idle)


def test_a_layer_that_differs_where_nothing_is_told_to_is_one() -> None:
    apart = make_layer("conv", status="diverged", inputs_agree=True)
    told = make_diagnosis(causes=(), points=(make_point(layers=(apart,), first=None),), nearer_because=None)

    assert "conv at prepare is diverged, and the pipelines are said to part nowhere there" in contradictions(told)


@pytest.mark.parametrize(("known", "count"), [(9.04, 0), (None, 1), (9.06, 1)])
def test_decibels_that_the_table_has_otherwise_are_one(known: float | None, count: int) -> None:
    point = make_point(sqnr_db={"pt2e": known}, layers=())
    told = make_diagnosis(
        causes=(), points=(point,), nearer=None, nearer_because="pt2e SQNR 9.0 dB; at b, pt2e SQNR 2.0 dB"
    )  # fmt: skip

    assert len(contradictions(told)) == count


@pytest.mark.parametrize(("layer", "count"), [("bn2", 0), ("bn2@2", 0), ("bn1", 1), (None, 0)])
def test_a_node_that_reads_another_layers_parameters_than_its_own_is_one(layer: str | None, count: int) -> None:
    lines = (
        GraphLine(text="bn2_weight = constant bn2.weight"),
        GraphLine(text="batch_norm_4 = aten.batch_norm.default(x, bn2_weight, None)", layer=layer),
    )
    rows = (make_layer("bn1", left_node="aten.batch_norm (batch_norm_4)"), make_layer("bn2"))
    point = make_point(layers=rows, graphs=(GraphText(pipeline="pt2e", lines=lines),))
    told = make_diagnosis(causes=(), points=(point,), nearer=None, nearer_because=None)

    assert len(contradictions(told)) == count


# One for each of many causes, and those in which both are wrong alike.
SELECTION = (
    "batch_norms/conv_bn_bn/*",
    "batch_norms_wide/conv_bn_bn/dim=1,*per_tensor_qat*",
    "batch_norms/shared_conv_two_bn/*",
    "batch_norms/shared_conv_bn/*",
    "paddings/conv_padded/padding_mode=reflect,dim=2,*",
    "sequences/self_attention/*ptq*",
    "sequences/multihead_attention/*ptq*",
)


@pytest.fixture(scope="module")
def whole_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the run that is to be read, else of a small one that is made."""
    named = request.config.getoption("--results")
    if named is not None:
        return run_store(Path(named))
    out = tmp_path_factory.mktemp("contradictions")
    chosen = [word for glob in SELECTION for word in ("--case", glob)]
    ended = run(
        ["run", str(folder("matrix")), "--fresh", "--workers", "1", "--out", str(out), *chosen], Collaborators()
    )
    assert ended == 0
    return run_store(out / "latest")


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.xdist_group("patterns")
def test_no_diagnosis_of_a_run_contradicts_itself(whole_run: Path) -> None:
    with Store.reading(whole_run) as store:
        diagnoses = {item.case_id: item.diagnosis for item in store.records() if item.diagnosis is not None}
    found = {case_id: contradictions(diagnosis) for case_id, diagnosis in diagnoses.items()}

    assert diagnoses, "there is nothing to read"
    assert {case_id: told for case_id, told in found.items() if told} == {}
