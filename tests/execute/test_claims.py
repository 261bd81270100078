"""Claims about annotations and metadata, on the programs of real pipelines: what upstream's own tests assert."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from qatrix.claims import CheckPoint
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.execute.case import run_case
from qatrix.resources import folder

pytestmark = pytest.mark.torch

PATTERNS = """
patterns:
  linears:
    layers: {a: "Linear(4, 4)", b: "Linear(4, 4)"}
    forward: ["return b(a(x))"]
    inputs: {x: {shape: [8, 4]}}
  pooled:
    layers: {conv: "Conv2d(2, 2, 1)", relu: ReLU(), pool: MaxPool2d(2)}
    forward: ["return pool(relu(conv(x)))"]
    inputs: {x: {shape: [1, 2, 4, 4]}}
  joined:
    layers: {a: "Linear(4, 4)", b: "Linear(4, 4)"}
    forward: ["y = a(x)", "return torch.cat([y, b(y)], 1)"]
    inputs: {x: {shape: [8, 4]}}
quantizers:
  tagged: {mode: ptq, pt2e: {quantizer: support.own_quantizers.Tagged}}
"""


def message(
    tmp_path: Path, pattern: str, quantizer: str, at: CheckPoint, *lines: str, pipelines: Sequence[str] = ("pt2e",)
) -> str | None:
    """What is wrong with a check of these lines, None where it holds."""
    written = f"""{PATTERNS}
checks:
  written: {{at: {at}, pipelines: {json.dumps(list(pipelines))}, graph: {json.dumps(list(lines))}}}
suites:
  s:
    axes: {{pattern: {pattern}, quantizer: {quantizer}}}
    pipelines: {{only: {json.dumps(list(pipelines))}, because: the claim is about it}}
    checks: [written]
"""
    path = tmp_path / "m.yaml"
    path.write_text(written)
    loaded = load([folder("matrix") / "quantizers.yaml", path], allowed_modules=("support",))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection()).cases
    record = run_case(case, diagnose="never")
    (found,) = (check for check in record.checks if check.name == "written")
    assert (found.status == "passed") == (found.message is None), record.summary
    return found.message


def test_annotations_of_x86_are_seen(tmp_path: Path) -> None:
    lines = (
        "assert all(annotated(y) for y in conv) and all(annotated(y) and is_output(y) for y in relu)",
        "assert sum(is_output(y) for y in conv) == 0 and sum(is_output(y) for y in _) == 2",
        # A pooling passes on what it reads.
        "assert all(shared(x, y) for y in max_pool2d(x))",
        "assert not any(shared(a, x) for y in max_pool2d(x) for z in conv(a))",
    )

    assert message(tmp_path, "pooled", "x86_int8_ptq", "prepare", *lines) is None


def test_observers_that_a_concatenation_shares_are_one(tmp_path: Path) -> None:
    lines = ("y = cat([a, b])", "assert shared(a, b) and shared(a, y)", "assert op(a) == 'observer'")

    assert message(tmp_path, "joined", "xnnpack_int8_per_tensor_ptq", "prepare", *lines) is None


@pytest.mark.parametrize("pipeline", ["pt2e", "fx"])
def test_modules_are_known_in_both_pipelines(pipeline: str, tmp_path: Path) -> None:
    lines = ("assert sorted(module(y) for y in linear) == ['a', 'b']",)

    assert message(tmp_path, "linears", "xnnpack_int8_per_tensor_ptq", "convert", *lines, pipelines=[pipeline]) is None


def test_tags_come_through_convert(tmp_path: Path) -> None:
    lines = (
        # What is dequantized is tagged as who reads it; these layers' outputs are not annotated.
        "assert sorted(tag(y) for y in dequantize_per_tensor(constant())) == ['own_linear_0', 'own_linear_1']",
        "assert sorted(tag(y) for y in linear) == ['own_linear_0', 'own_linear_1']",
        "assert all(tag(y) == tag(z) for y in dequantize_per_tensor for z in users(y))",
        "assert not any(tag(y) for y in quantize_per_tensor)",
    )

    assert message(tmp_path, "linears", "tagged", "convert", *lines) is None


def test_each_dequantize_of_an_annotated_op_has_one_reader(tmp_path: Path) -> None:
    lines = (
        "assert all(len(users(x)) == 1 for x in dequantize_per_tensor for y in users(x) if annotated(y))",
        "assert all(from_node(y) != None for y in linear) and distinct(from_node(y) for y in linear)",
    )

    assert message(tmp_path, "joined", "xnnpack_int8_per_tensor_ptq", "convert", *lines) is None


def test_a_claim_that_fails_names_the_layer(tmp_path: Path) -> None:
    told = message(tmp_path, "linears", "tagged", "convert", "assert all(tag(y) == 'own_linear_0' for y in linear)")

    assert told == (
        "assert: all(tag(y) == 'own_linear_0' for y in linear) does not hold: "
        "not for linear (node linear_1 of b) (tag(y) is 'own_linear_1')"
    )
