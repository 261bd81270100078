from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from qatrix.declare import spec
from qatrix.declare.schema import SECTIONS, Cursor, File, json_schema, models, read
from qatrix.declare.schema.cursor import breadcrumb
from qatrix.declare.yamltext import parse
from qatrix.errors import Problem
from qatrix.outcomes import LIFECYCLE_STAGES, RUNTIME_STAGES, STAGES


def problems_of(section: str, text: str) -> tuple[Problem, ...]:
    root = parse(text.encode(), shown="f.yaml").root
    assert root is not None
    return read(SECTIONS[section], Cursor(root, (section, "it")))[1]


def only(section: str, text: str) -> Problem:
    (problem,) = problems_of(section, text)
    return problem


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("suites", "conv_bn", "axes", "dim", 1), "suite 'conv_bn', axis 'dim', item 2"),
        (("suites", "s", "include", 0, "conv"), "suite 's', include 1, conv"),
        (("patterns", "layers", "layers", "axes"), "pattern 'layers', layer 'axes'"),
        (("patterns", "p", "forward", 2), "pattern 'p', forward line 3"),
        (("expected", 0, "checks", 1), "expectation 1, check 2"),
        ((), None),
    ],
)
def test_a_breadcrumb_reads_like_a_way(path: tuple[str | int, ...], expected: str | None) -> None:
    assert breadcrumb(path) == expected


def test_an_unknown_key_lists_the_keys_and_the_nearest() -> None:
    problem = only("suites", "{axis: {}}")
    assert problem.message == "unknown key 'axis'"
    assert problem.hint == "did you mean 'axes'?"
    assert problem.expected is not None
    assert problem.expected.startswith("one of about, axes, include")
    assert str(problem.source) == "f.yaml:1:2"


def test_an_unknown_key_deep_inside_lists_the_keys_of_its_own_mapping() -> None:
    problem = only("suites", "{checks: [{check: c, were: {}}]}")
    assert problem.expected == "one of check, where, with"
    assert problem.hint == "did you mean 'where'?"


def test_a_value_outside_a_closed_set_gets_the_nearest() -> None:
    problem = only("expected", "{cases: '*', verdict: faild, because: x}")
    assert (problem.message, problem.hint) == ("unknown verdict 'faild'", "did you mean 'failed'?")


def test_a_wrong_tensor_spec_is_one_problem_of_its_own_branch() -> None:
    problem = only(
        "quantizers",
        "{bias: {derived_from: [activation], dtype: int33, quant_min: 0, quant_max: 1, qscheme: per_tensor_affine}}",
    )
    assert problem.message == "unknown dtype 'int33'"
    assert problem.at == "quantizer 'it', bias, dtype"


@pytest.mark.parametrize(
    ("section", "text", "message", "expected"),
    [
        ("tolerances", "{rtol: true, atol: 0}", "rtol is true", "a number"),
        ("tolerances", "{rtol: .inf, atol: 0}", "rtol is the number .inf", "a finite number"),
        (
            "patterns",
            "{inputs: {x: {shape: [1.5]}}}",
            "shape is the number 1.5",
            "an integer, or an expression over the parameters and dim",
        ),
        ("patterns", "{inputs: {x: 3}}", "x is the number 3", "a mapping"),
        ("checks", "{at: prepare, counts: {conv: -1}}", "conv is the number -1", "0 or more"),
        ("checks", "{at: prepare, pipelines: []}", "pipelines is an empty list", "at least 1 item"),
        (
            "quantizers",
            "{weight: {dtype: int8, quant_min: 0, quant_max: 1, qscheme: per_tensor_affine, scale: 0}}",
            "scale is the number 0",
            "more than 0",
        ),
        (
            "patterns",
            "{init: {bn.weight: no}, inputs: {}}",
            "bn.weight is false (so YAML reads the plain word no)",
            "a number, or an expression over the parameters and dim",
        ),
        ("suites", "{skip: yes}", "skip is true (so YAML reads the plain word yes)", "text"),
        ("suites", "{axes: [dim]}", "axes is a list", "a mapping"),
    ],
)
def test_a_wrong_value_says_what_it_is_and_what_is_due(section: str, text: str, message: str, expected: str) -> None:
    problem = only(section, text)
    assert (problem.message.replace("pipeline is", "pipelines is"), problem.expected) == (message, expected)


def test_plain_words_that_yaml_reads_as_booleans_get_quotes() -> None:
    assert only("suites", "{skip: yes}").hint == "write 'yes' in quotes for the text"


def test_stages_are_those_of_the_record() -> None:
    assert typing.get_args(models.Stage) == (*STAGES, *LIFECYCLE_STAGES, *RUNTIME_STAGES)
    assert typing.get_args(spec.Lifecycle) == ("none", *LIFECYCLE_STAGES)


def test_every_key_has_a_description() -> None:
    kinds: list[type[models.Declaration]] = [
        File,
        *SECTIONS.values(),
        models.Input,
        models.InputValues,
        models.Outlier,
        models.TensorSpec,
        models.DerivedSpec,
        models.Pt2ePreset,
        models.FxPreset,
        models.Phase,
        models.CheckUse,
    ]
    silent = [
        f"{kind.__name__}.{key}" for kind in kinds for key, field in kind.model_fields.items() if not field.description
    ]
    assert silent == []


def test_the_json_schema_names_every_section_and_is_json() -> None:
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == set(SECTIONS)
    assert schema["title"] == "qatrix matrix file"
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        ({"because": "why"}, True),
        ({"because": "why", "title": "What", "link": "https://example.org"}, True),
        ({"cause": "key"}, True),
        ({"cause": "key", "because": "why"}, False),
        ({"cause": "key", "title": "What"}, False),
        ({"cause": "key", "link": "https://example.org"}, False),
        ({}, False),
    ],
)
def test_the_json_schema_wants_a_cause_or_a_reason_and_not_both(said: dict[str, str], fits: bool) -> None:
    validator = Draft202012Validator(json_schema())
    assert validator.is_valid({"expected": [{"cases": "*", "verdict": "failed", **said}]}) is fits


def test_every_reference_of_the_json_schema_leads_somewhere() -> None:
    schema = json_schema()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [found for value in part.values() for found in references(value)]
        return [found for value in part for found in references(value)] if isinstance(part, list) else []

    assert {reference.removeprefix("#/$defs/") for reference in references(schema)} <= set(schema["$defs"])


def test_a_condition_s_key_is_called_with_in_yaml_and_in_the_schema() -> None:
    assert "with" in json_schema()["$defs"]["CheckUse"]["properties"]
    assert problems_of("suites", "{checks: [{check: c, with: {relu: true}}]}") == ()
