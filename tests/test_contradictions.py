"""What the reader of diagnoses calls a contradiction, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qatrix.diagnoses import Cause, Diagnosis, ParameterRow, Parameters
from support.contradictions import contradictions
from support.diagnoses import make_diagnosis, make_point

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


IN_FLOAT = "pt2e leaves conv, Conv2d, in float where fx quantizes it"
OUTPUT = "pt2e does not quantize the weight and the output of conv, Conv2d, where fx does"
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
    sentence = "pt2e does not quantize the input x of conv, Conv2d, where fx does"

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
            ("fx at prepare: x and add have in common scale 0.5, zero point 0", "pt2e at prepare: add has scale 0.5, zero point 0"),
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
