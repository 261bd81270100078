"""Quantizers that treat parts of a model unlike the rest, and several composed, on real torch."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.report.repro.files import wants_script

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

OWN = "support.own_quantizers"
XNNPACK = "quantizer: XNNPACKQuantizer"
PER_CHANNEL = "quantizer: XNNPACKQuantizer, config: {is_per_channel: true}"
QNNPACK = "backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qconfig"
QNNPACK_PER_CHANNEL = "backend_config: qnnpack, qconfig: default_per_channel_symmetric_qnnpack_qconfig"
MATRIX = """
patterns:
  headed:
    layers: {body: "Linear(8, 8)", act: ReLU(), head: "Linear(8, 4)"}
    forward: ["return head(act(body(x)))"]
    inputs: {x: {shape: [16, 8]}}
  inner:
    layers: {wide: "Linear(8, 8)", narrow: "Linear(8, 8)"}
    forward: ["return narrow(wide(x))"]
    inputs: {x: {shape: [16, 8]}}
  blocks:
    layers: {one: inner(), two: inner()}
    forward: ["return two(one(x))"]
    inputs: {x: {shape: [16, 8]}}
  convolved:
    layers: {conv: "Conv2d(3, 4, 3)", act: ReLU(), head: "Linear(36, 4)"}
    forward: ["return head(act(conv(x)).flatten(1))"]
    inputs: {x: {shape: [8, 3, 5, 5]}}
  embedded:
    layers: {embedding: "Embedding(20, 8)", linear: "Linear(8, 8)"}
    forward: ["return linear(embedding(x))"]
    inputs: {x: {shape: [16, 4], dtype: int64}}
quantizers:
  embeddings: {mode: ptq, pt2e: {quantizer: EmbeddingQuantizer}}
  layers: {mode: ptq, pt2e: {quantizer: XNNPACKQuantizer}}
  declared:
    mode: ptq
    annotate: [linear]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
  own: {mode: ptq, pt2e: {quantizer: support.own_quantizers.Linear}}
  written: {mode: MODE, QUANTIZER}
checks:
  counted: {at: convert, counts: {add: 0, COUNTS}}
suites:
  s: {axes: {pattern: PATTERN, quantizer: written}, checks: [counted], PIPELINES}
"""


def case_of(
    tmp_path: Path, pattern: str, quantizer: str, *, counts: str = "mul: 0", mode: str = "ptq", alone: bool = False
) -> Case:
    because = "pipelines: {only: [pt2e], because: the other one has nothing like it}"
    words = {"PATTERN": pattern, "QUANTIZER": quantizer, "COUNTS": counts, "MODE": mode}
    text = MATRIX
    for word, value in {**words, "PIPELINES": because if alone else "about: a test"}.items():
        text = text.replace(word, value)
    path = tmp_path / "m.yaml"
    path.write_text(text)
    loaded = load([path], allowed_modules=("support",))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection()).cases
    return case


def both(parts: str, *, pt2e: str = XNNPACK, fx: str = QNNPACK) -> str:
    """Both pipelines told of the same parts."""
    return f"pt2e: {{{pt2e}, {parts}}}, fx: {{{fx}, {parts}}}"


def of_check(record: Record, name: str) -> dict[str, tuple[str, str | None]]:
    return {check.pipeline: (check.status, check.message) for check in record.checks if check.name == name}


HELD = {"pt2e": ("passed", None), "fx": ("passed", None)}


@pytest.mark.parametrize(
    ("pattern", "parts", "quantized"),
    [
        pytest.param("headed", "modules: {head: float}", 1, id="a module"),
        pytest.param("blocks", "modules: {two: float}", 2, id="what is inside of a module"),
        pytest.param("blocks", "modules: {'*.narrow': float}", 2, id="a glob"),
        pytest.param("blocks", "modules: {'{one,two}.wide': float, 'one.n*': float}", 1, id="two globs, with braces"),
        pytest.param("convolved", "types: {Linear: float}", 1, id="a class"),
    ],
)
def test_what_is_declared_to_stay_in_float_does_in_both_pipelines(
    tmp_path: Path, pattern: str, parts: str, quantized: int
) -> None:
    record = run_case(
        case_of(
            tmp_path,
            pattern,
            both(parts, pt2e=PER_CHANNEL, fx=QNNPACK_PER_CHANNEL),
            counts=f"dequantize_per_channel: {quantized}",
        )
    )

    assert record.verdict == "exact", record.summary
    assert of_check(record, "float_kept") == HELD
    assert of_check(record, "ops_quantized") == HELD
    assert of_check(record, "as_specified") == HELD
    assert of_check(record, "counted") == {"pt2e": ("passed", None)}


def test_training_leaves_a_module_in_float_too(tmp_path: Path) -> None:
    quantizer = both(
        "modules: {head: float}",
        pt2e="quantizer: XNNPACKQuantizer, config: {is_qat: true}",
        fx="backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig",
    )
    record = run_case(case_of(tmp_path, "convolved", quantizer, mode="qat"))

    assert record.verdict == "exact", record.summary
    assert of_check(record, "float_kept") == HELD


def test_a_module_has_another_configuration_in_both_pipelines(tmp_path: Path) -> None:
    quantizer = (
        f"pt2e: {{{PER_CHANNEL}, modules: {{head: {{is_per_channel: false}}}}}}, "
        f"fx: {{{QNNPACK_PER_CHANNEL}, modules: {{head: default_symmetric_qnnpack_qconfig}}}}"
    )
    # The body's weight has a scale per channel; the head's, both inputs and the output one scale each.
    counts = "dequantize_per_channel: 1, dequantize_per_tensor: 4, quantize_per_tensor: 3"
    record = run_case(case_of(tmp_path, "headed", quantizer, counts=counts))

    assert record.verdict == "exact", record.summary
    assert of_check(record, "counted") == {"pt2e": ("passed", None)}
    assert of_check(record, "ops_quantized") == HELD
    assert of_check(record, "float_kept") == {}


def test_a_class_of_modules_has_another_configuration(tmp_path: Path) -> None:
    quantizer = f"pt2e: {{{XNNPACK}, types: {{Linear: {{is_per_channel: true}}}}}}"
    record = run_case(case_of(tmp_path, "convolved", quantizer, counts="dequantize_per_channel: 1", alone=True))

    assert record.verdict == "checked", record.summary


def test_a_convolution_that_xnnpack_leaves_out_of_a_part_without_its_relu_is_told(tmp_path: Path) -> None:
    quantizer = f"pt2e: {{{XNNPACK}, modules: {{conv: {{is_per_channel: true}}}}}}"
    record = run_case(case_of(tmp_path, "convolved", quantizer, alone=True))

    assert of_check(record, "ops_quantized") == {"pt2e": ("failed", "conv has its weight and its input in float")}


def test_a_module_that_xnnpack_quantizes_by_its_class_though_it_is_to_stay_in_float_is_told(tmp_path: Path) -> None:
    quantizer = f"pt2e: {{{XNNPACK}, modules: {{head: float}}, types: {{Linear: {{is_per_channel: true}}}}}}"
    record = run_case(case_of(tmp_path, "headed", quantizer, alone=True))

    told = "head has a quantized weight, though it is declared to stay in float"
    assert of_check(record, "float_kept") == {"pt2e": ("failed", told)}


@pytest.mark.parametrize("parts", ["modules: {head: float}", "types: {Linear: float}"])
def test_inductor_s_quantizer_leaves_a_part_in_float(tmp_path: Path, parts: str) -> None:
    quantizer = f"pt2e: {{quantizer: X86InductorQuantizer, {parts}}}"
    record = run_case(case_of(tmp_path, "convolved", quantizer, counts="dequantize_per_channel: 1", alone=True))

    assert record.verdict == "checked", record.summary
    assert of_check(record, "float_kept") == {"pt2e": ("passed", None)}


def test_a_class_that_fx_quantizes_although_it_is_declared_to_stay_in_float_is_told(tmp_path: Path) -> None:
    """It fuses a linear layer with its ReLU, and does not take None over to the class of the two."""
    record = run_case(case_of(tmp_path, "headed", f"fx: {{{QNNPACK}, types: {{Linear: float}}}}"))

    told = "body has a quantized weight, though it is declared to stay in float"
    assert of_check(record, "float_kept") == {"fx": ("failed", told)}


def test_a_glob_that_fits_no_module_makes_the_case_invalid(tmp_path: Path) -> None:
    record = run_case(case_of(tmp_path, "headed", both("modules: {hed: float}")))

    assert record.verdict == "invalid"
    assert record.summary == (
        "the quantizer does not fit this model: PartFault: quantizer 'written', pt2e: the glob 'hed' fits no module of the "
        "model; expected one that fits any of body, act, head (did you mean 'head'?)"
    )
    assert not wants_script(record)


def test_a_class_of_modules_that_a_model_lacks_is_no_fault(tmp_path: Path) -> None:
    assert run_case(case_of(tmp_path, "headed", both("types: {Conv2d: float}"))).verdict == "exact"


def test_an_own_quantizer_that_cannot_be_told_of_a_module_fails_in_a_sentence(tmp_path: Path) -> None:
    record = run_case(case_of(tmp_path, "headed", f"pt2e: {{quantizer: {OWN}.Linear, modules: {{head: float}}}}"))

    assert record.verdict == "failed"
    error = record.pipelines["pt2e"].error
    assert error is not None
    assert error.message == f"{OWN}.Linear has no method set_module_name; expected one, because 'modules' is declared"


@pytest.mark.parametrize("second", ["layers", "declared", "own"])
def test_composed_quantizers_quantize_each_its_own(tmp_path: Path, second: str) -> None:
    quantizer = f"pt2e: {{compose: [embeddings, {second}]}}"
    # An embedding's weight has a scale for each row.
    counts = "dequantize_per_channel: 1, linear: 1"
    record = run_case(case_of(tmp_path, "embedded", quantizer, counts=counts, alone=True))
    alone = run_case(case_of(tmp_path, "embedded", "pt2e: {quantizer: EmbeddingQuantizer}", counts=counts, alone=True))

    assert record.verdict == "checked", record.summary
    quantized = record.pipelines["pt2e"].dequantize_ops
    assert quantized is not None
    assert quantized > (alone.pipelines["pt2e"].dequantize_ops or 0)
    assert [item.name for item in record.pipelines["pt2e"].quantizers][:1] == ["EmbeddingQuantizer"]


def test_a_composition_must_quantize_what_any_of_its_quantizers_claims(tmp_path: Path) -> None:
    case = case_of(tmp_path, "embedded", "pt2e: {compose: [embeddings, layers]}", alone=True)

    assert of_check(run_case(case), "ops_quantized") == {"pt2e": ("passed", None)}
    assert case.quantizer.per_channel is False
