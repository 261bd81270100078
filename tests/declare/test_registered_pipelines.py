"""Pipelines that installed distributions register: named wherever YAML names pipelines, told what a quantizer says."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from qatrix.declare.digest import case_digests, matrix_digest
from qatrix.declare.load import Loaded, load
from qatrix.declare.schema import json_schema
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case, Matrix, OwnPipeline, Registration
from qatrix.declare.yamltext import Node, data, parse
from qatrix.errors import Problem
from support.distributions import install

Install = Callable[..., None]
# Whoever imports it, ends.
DEADLY = "import sys\nsys.exit(9)\n"
MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(4, 4)"}}
    forward: ["return a(x)"]
    inputs: {{x: {{shape: [8, 4]}}}}
quantizers:
  q: {{mode: ptq{told}}}
checks:
  c: {{at: convert, pipelines: [{checked}], absent: [add]}}
suites:
  s:
    axes: {{pattern: linear, quantizer: q}}
    checks: [c]
    pipelines: {{only: [pt2e, {ran}], because: a test}}
expected:
  - {{cases: "s/*", verdict: failed, because: a test, pipeline: {failing}}}
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of that name with these pipelines."""

    def make(name: str, *points: str, **more: str) -> None:
        folder = tmp_path / f"installed-{name}"
        monkeypatch.syspath_prepend(install(folder, name, *points, code=DEADLY, group="qatrix.pipelines", **more))

    return make


def loaded(
    tmp_path: Path, name: str, *, told: str = "", checked: str = "", failing: str = "", allowed: tuple[str, ...] = ()
) -> Loaded:
    path = tmp_path / "m.yaml"
    text = MATRIX.format(told=told or f", {name}: {{}}", checked=checked or name, ran=name, failing=failing or name)
    path.write_text(text)
    return load([path], allowed_modules=allowed)


def matrix(found: Loaded) -> Matrix:
    assert found.matrix is not None, found.problems
    return found.matrix


def case(found: Loaded) -> Case:
    (only,) = select(matrix(found), Selection()).cases
    return only


def problem(found: Loaded) -> Problem:
    """What is wrong, once: at the first place of several."""
    assert len({item.message for item in found.problems}) == 1
    return found.problems[0]


@pytest.mark.parametrize("name", ["eager", "My-Dist.eager", "my_dist.eager"])
def test_a_registered_pipeline_has_one_name_wherever_yaml_names_it_and_is_not_imported(
    tmp_path: Path, installed: Install, name: str
) -> None:
    installed("My-Dist", "eager = my_dist_code:Deep.Eager", version="2.1")
    found = loaded(tmp_path, name)
    known = Registration(
        name="eager", module="my_dist_code", attribute="Deep.Eager", distribution="My-Dist", version="2.1"
    )

    assert case(found).pipelines == ("pt2e", "eager")
    assert case(found).own_pipelines == {
        "eager": OwnPipeline(module="my_dist_code", attribute="Deep.Eager", registration=known)
    }
    assert case(found).runs_own_code
    assert case(found).checks[0].pipelines == ("eager",)
    assert matrix(found).expectations[0].pipeline == "eager"
    assert matrix(found).quantizers["q"].settings == {"eager": {}}
    assert "my_dist_code" not in sys.modules


def test_what_a_quantizer_says_is_handed_over_with_lists_as_tuples(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    told = ", eager: {bits: 4, kind: text, sizes: [1, [2, 3]], deep: {there: true, gone: null}}"

    assert matrix(loaded(tmp_path, "eager", told=told)).quantizers["q"].settings == {
        "eager": {"bits": 4, "kind": "text", "sizes": (1, (2, 3)), "deep": {"there": True, "gone": None}}
    }


def test_a_shared_name_is_refused_and_each_whole_name_stays_itself(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    installed("two", "eager = two_code:Eager", version="3.0")
    fault = problem(loaded(tmp_path, "eager"))

    assert fault.message == "the pipeline 'eager' is registered by two 3.0 and one 1.0"
    assert fault.expected == "two.eager or one.eager"
    assert case(loaded(tmp_path, "one.eager")).pipelines == ("pt2e", "one.eager")


def test_a_pipeline_that_one_distribution_registers_twice_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:First", "eager = one_code:Second")
    fault = problem(loaded(tmp_path, "eager"))

    assert fault.message == "the pipeline 'eager' is registered twice by one 1.0"
    assert fault.expected == "each name once in a distribution's entry points"


def test_a_built_in_pipeline_keeps_its_name(tmp_path: Path, installed: Install) -> None:
    installed("one", "fx = one_code:Fx")
    preset = ", fx: {backend_config: qnnpack, qconfig: default_qconfig}"

    assert case(loaded(tmp_path, "fx", told=preset)).own_pipelines == {}
    assert case(loaded(tmp_path, "one.fx")).pipelines == ("pt2e", "one.fx")


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("eager = one_code", "one 1.0 registers 'eager' as 'one_code:', which names no class"),
        ("eager = one code:x", "one 1.0 registers 'eager' as 'one code:x', which names no class"),
    ],
)
def test_an_entry_point_that_names_no_class_is_told(
    tmp_path: Path, installed: Install, points: str, message: str
) -> None:
    installed("one", points)

    assert problem(loaded(tmp_path, "eager")).message == message


def test_a_pipeline_whose_own_name_is_none_is_told(tmp_path: Path, installed: Install) -> None:
    installed("one", "my eager = one_code:Eager")
    fault = problem(loaded(tmp_path, "my eager"))

    assert fault.message == "one 1.0 registers the pipeline 'my eager', which is no name"
    assert fault.expected == "letters, digits and _, a letter first"


def test_a_name_that_is_almost_registered_is_told_at_every_place(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    found = loaded(tmp_path, "eagre", told=", eager: {}")

    assert {item.message for item in found.problems} == {"unknown pipeline 'eagre'"}
    assert {item.hint for item in found.problems} == {"did you mean 'eager'?"}
    assert [item.at for item in found.problems] == [
        "check 'c', pipelines, item 1",
        "suite 's', pipelines, only, item 2",
        "expectation 1, pipeline",
    ]


def test_a_key_of_a_quantizer_that_is_no_pipeline_is_an_unknown_key(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    fault = problem(loaded(tmp_path, "eager", told=", eagre: {}, pt2e: {quantizer: XNNPACKQuantizer}"))

    assert (fault.message, fault.hint) == ("unknown key 'eagre'", "did you mean 'eager'?")
    assert str(fault.expected).endswith("phases; or a pipeline that an installed distribution registers")


def test_a_built_in_pipeline_that_takes_anothers_preset_is_no_key(tmp_path: Path) -> None:
    preset = ", pt2e: {quantizer: XNNPACKQuantizer}, pt2e_torch_ao: {}"
    fault = problem(loaded(tmp_path, "fx", told=preset))

    assert fault.message == "unknown key 'pt2e_torch_ao'"
    assert fault.expected == "pt2e: pipeline pt2e_torch_ao takes the same preset"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (", eager: 4", "eager is the number 4"),
        (", eager: {}, one.eager: {}", "'one.eager' stands beside another name of pipeline 'eager'"),
    ],
)
def test_what_cannot_be_told_to_a_pipeline_has_its_place(
    tmp_path: Path, installed: Install, told: str, message: str
) -> None:
    installed("one", "eager = one_code:Eager")

    assert message in [item.message for item in loaded(tmp_path, "eager", told=told).problems]


def test_what_a_pipeline_is_told_may_stand_beside_declared_specs_but_not_beside_phases(
    tmp_path: Path, installed: Install
) -> None:
    installed("one", "eager = one_code:Eager")
    spec = "{dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}"
    beside = f", annotate: [linear], activation: {spec}, eager: {{bits: 4}}"
    path = tmp_path / "phases.yaml"
    path.write_text("quantizers: {p: {phases: [{quantizer: p}], eager: {}}}\n")

    assert matrix(loaded(tmp_path, "eager", told=beside)).quantizers["q"].settings == {"eager": {"bits": 4}}
    assert "'eager' stands beside 'phases'" in [item.message for item in load([path]).problems]


def test_a_dotted_path_is_a_pipeline_where_the_user_allows_its_module(tmp_path: Path) -> None:
    fault = problem(loaded(tmp_path, "mine.pipelines.Eager"))
    made = case(loaded(tmp_path, "mine.pipelines.Eager", allowed=("mine",)))

    assert fault.message == "the pipeline 'mine.pipelines.Eager' may not be used without your consent"
    assert str(fault.hint).startswith("--allow-module mine.pipelines allows it")
    assert made.own_pipelines == {"mine.pipelines.Eager": OwnPipeline(module="mine.pipelines", attribute="Eager")}
    assert made.runs_own_code


def test_what_a_pipeline_is_told_is_part_of_what_a_case_is(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    first = loaded(tmp_path, "eager", told=", eager: {bits: 4}")
    other = loaded(tmp_path, "eager", told=", eager: {bits: 5}")

    assert case_digests([case(first)]) != case_digests([case(other)])
    assert matrix_digest(matrix(first)) != matrix_digest(matrix(other))


def test_the_release_that_registers_a_pipeline_is_part_of_what_a_case_is(tmp_path: Path, installed: Install) -> None:
    installed("one", "eager = one_code:Eager")
    made = case(loaded(tmp_path, "eager"))
    own = made.own_pipelines["eager"]
    assert own.registration is not None
    newer = replace(own, registration=replace(own.registration, version="1.1"))

    assert case_digests([made]) != case_digests([replace(made, own_pipelines={"eager": newer})])


def node(text: str) -> Node:
    root = parse(text.encode(), shown="m.yaml").root
    assert root is not None
    return root


def test_editors_take_a_quantizer_that_tells_a_pipeline_something_alone() -> None:
    def faults(text: str) -> list[str]:
        validator = jsonschema.Draft202012Validator(json_schema())
        return [error.message for error in validator.iter_errors(data(node(text)))]

    assert faults("quantizers: {q: {mode: dynamic, eager: {bits: 4}}}") == []
    assert faults("quantizers: {q: {mode: dynamic, eager: 4}}") != []
    assert faults("quantizers: {q: {mode: dynamic}}") != []
    assert faults("suites: {s: {pipelines: {only: [one.eager], because: why}}}") == []
