"""Runtimes: declared for each pipeline, filled with defaults, an axis of suites."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from qatrix.declare.digest import case_digests, matrix_digest
from qatrix.declare.inputs import DataFile
from qatrix.declare.load import Loaded, load
from qatrix.declare.schema import json_schema
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case, Matrix, Registration, RuntimeUse
from qatrix.declare.yamltext import data, parse
from qatrix.lowerings import REFERENCE
from qatrix.resources import folder
from qatrix.runtimes import BUILT_IN
from support.distributions import install

BAD = Path(__file__).parent.parent / "matrix_bad"
Install = Callable[..., None]
# Whoever imports it, ends.
DEADLY = "import sys\nsys.exit(9)\n"
MODEL = """
patterns:
  linear:
    layers: {a: "Linear(4, 4)"}
    forward: ["return a(x)"]
    inputs: {x: {shape: [8, 4]}}
quantizers:
  q:
    mode: qat
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_qat: true}}
    fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}
  rounds: {phases: [{quantizer: q}]}
"""
PHONE = "runtimes: {phone: {pt2e: {runtime: executorch}, fx: {runtime: native}}}\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution of that name with these runtimes."""

    def make(name: str, *points: str, group: str = "qatrix.runtimes") -> None:
        folder = tmp_path / f"installed-{name}-{group}"
        monkeypatch.syspath_prepend(install(folder, name, *points, code=DEADLY, group=group))

    return make


def loaded(tmp_path: Path, text: str, *, allowed: tuple[str, ...] = ()) -> Loaded:
    path = tmp_path / "m.yaml"
    path.write_text(MODEL + text)
    return load([path], allowed_modules=allowed)


def matrix(tmp_path: Path, text: str, *, allowed: tuple[str, ...] = ()) -> Matrix:
    found = loaded(tmp_path, text, allowed=allowed)
    assert found.problems == ()
    assert found.matrix is not None
    return found.matrix


def uses(tmp_path: Path, text: str, *, allowed: tuple[str, ...] = ()) -> dict[str, RuntimeUse]:
    return dict(matrix(tmp_path, f"runtimes: {{it: {text}}}\n", allowed=allowed).runtimes["it"].uses)


def cases(tmp_path: Path, suite: str, text: str = PHONE) -> tuple[Case, ...]:
    selected = select(matrix(tmp_path, f"{text}suites: {{s: {suite}}}\n"), Selection())
    assert selected.problems == ()
    return tuple(selected.cases)


@pytest.mark.parametrize("name", [name for name, known in BUILT_IN.items() if known.file is None])
def test_a_built_in_runtime_has_every_option_with_its_default(tmp_path: Path, name: str) -> None:
    (use,) = uses(tmp_path, f"{{fx: {{runtime: {name}}}}}").values()

    assert use == RuntimeUse(runtime=name, options={key: values[0] for key, values in BUILT_IN[name].options.items()})
    assert use.built_in == BUILT_IN[name]


def test_what_the_yaml_says_stands_in_the_place_of_the_default(tmp_path: Path) -> None:
    found = uses(tmp_path, "{pt2e: {runtime: inductor, compile: false}, fx: {runtime: native, engine: x86}}")

    assert found["pt2e"].options == {"compile": False}
    assert found["fx"].options == {"engine": "x86"}


def test_a_recorded_runtime_names_the_file_of_its_outputs(tmp_path: Path) -> None:
    (tmp_path / "phone.safetensors").write_bytes(b"one")
    (use,) = uses(tmp_path, "{pt2e: {runtime: recorded, outputs: phone.safetensors}}").values()
    file = use.options["outputs"]

    assert isinstance(file, DataFile)
    assert file.path == str(tmp_path / "phone.safetensors")


def test_what_is_recorded_counts_and_not_the_name_of_its_file(tmp_path: Path) -> None:
    suite = "suites: {s: {axes: {pattern: linear, quantizer: q, runtime: it}}}\n"

    def digest(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        text = f"runtimes: {{it: {{pt2e: {{runtime: recorded, outputs: {name}}}}}}}\n{suite}"
        return matrix_digest(matrix(tmp_path, text))

    assert digest("a.safetensors", b"one") == digest("b.safetensors", b"one")
    assert digest("a.safetensors", b"one") != digest("a.safetensors", b"two")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "the key 'outputs' is missing"),
        (", outputs: 3", "outputs is the number 3"),
        (", outputs: none.safetensors", "there is no such file: 'none.safetensors'"),
        (", outputs: m.yaml", "the name ends in '.yaml': 'm.yaml'"),
    ],
)
def test_a_file_that_is_none_is_a_fault(tmp_path: Path, options: str, message: str) -> None:
    (fault,) = loaded(tmp_path, f"runtimes: {{it: {{pt2e: {{runtime: recorded{options}}}}}}}").problems

    assert fault.message == message


def test_both_kinds_of_pt2e_may_have_a_runtime_and_native_takes_fx_alone(tmp_path: Path) -> None:
    assert list(uses(tmp_path, "{pt2e_torch_ao: {runtime: exported}, pt2e: {runtime: exported}}")) == [
        "pt2e_torch_ao",
        "pt2e",
    ]
    (fault,) = loaded(tmp_path, "runtimes: {it: {pt2e_torch_ao: {runtime: native}}}").problems
    assert fault.message == "the runtime 'native' does not take the programs of pt2e_torch_ao"


def test_a_runtime_that_no_suite_names_is_no_fault(tmp_path: Path) -> None:
    assert list(matrix(tmp_path, PHONE).runtimes) == ["phone"]


@pytest.mark.parametrize("name", ["tpu", "My-Dist.tpu", "my_dist.tpu"])
def test_a_registered_runtime_has_one_name_and_is_not_imported(tmp_path: Path, installed: Install, name: str) -> None:
    installed("My-Dist", "tpu = my_dist_code:Deep.Tpu")
    known = Registration(name="tpu", module="my_dist_code", attribute="Deep.Tpu", distribution="My-Dist", version="1.0")
    use = uses(tmp_path, f"{{pt2e: {{runtime: {name}, cores: 4, sizes: [1, [2]], deep: {{there: null}}}}}}")["pt2e"]

    assert (use.runtime, use.registration, use.place) == ("tpu", known, ("my_dist_code", "Deep.Tpu"))
    assert use.options == {"cores": 4, "sizes": (1, (2,)), "deep": {"there": None}}
    assert use.built_in is None
    assert "my_dist_code" not in sys.modules


def test_a_shared_name_is_refused_and_a_built_in_one_keeps_its_name(tmp_path: Path, installed: Install) -> None:
    installed("one", "tpu = one_code:Tpu", "native = one_code:Native")
    installed("two", "tpu = two_code:Tpu")
    (fault,) = loaded(tmp_path, "runtimes: {it: {pt2e: {runtime: tpu}}}").problems

    assert fault.message == "the runtime 'tpu' is registered by two 1.0 and one 1.0"
    assert fault.expected == "two.tpu or one.tpu"
    assert uses(tmp_path, "{pt2e: {runtime: one.tpu}}")["pt2e"].runtime == "one.tpu"
    assert uses(tmp_path, "{fx: {runtime: native}}")["fx"].built_in is not None
    assert uses(tmp_path, "{fx: {runtime: one.native}}")["fx"].runtime == "one.native"


def test_a_name_that_almost_is_one_of_those_gets_the_nearest(tmp_path: Path, installed: Install) -> None:
    installed("one", "accelerated = one_code:Tpu")
    (fault,) = loaded(tmp_path, "runtimes: {it: {pt2e: {runtime: acelerated}}}").problems

    assert fault.hint == "did you mean 'accelerated'?"


def test_a_dotted_path_needs_consent_and_is_not_imported(tmp_path: Path) -> None:
    text = "{pt2e: {runtime: mine.runtimes.Tpu, cores: 4}}"
    (fault,) = loaded(tmp_path, f"runtimes: {{it: {text}}}").problems
    use = uses(tmp_path, text, allowed=("mine",))["pt2e"]

    assert fault.message == "the runtime 'mine.runtimes.Tpu' may not be used without your consent"
    assert (use.runtime, use.registration, use.place) == ("mine.runtimes.Tpu", None, ("mine.runtimes", "Tpu"))


def test_a_runtime_is_for_a_pipeline_of_ones_own_as_well(tmp_path: Path, installed: Install) -> None:
    installed("ways", "eager = ways_code:Eager", group="qatrix.pipelines")
    text = "{pt2e: {runtime: exported}, ways.eager: {runtime: exported}}"
    (fault,) = loaded(tmp_path, "runtimes: {it: {eager: {runtime: native}}}").problems

    assert list(uses(tmp_path, text)) == ["pt2e", "eager"]
    assert fault.message == "the runtime 'native' does not take the programs of eager"


def test_two_names_of_one_pipeline_are_refused(tmp_path: Path, installed: Install) -> None:
    installed("ways", "eager = ways_code:Eager", group="qatrix.pipelines")
    text = "runtimes: {it: {eager: {runtime: exported}, ways.eager: {runtime: exported}}}"
    (fault,) = loaded(tmp_path, text).problems

    assert fault.message == "'ways.eager' stands beside another name of pipeline 'eager'"


def test_the_axis_stands_in_the_ids_of_a_suite_that_has_it(tmp_path: Path) -> None:
    found = cases(tmp_path, "{axes: {pattern: linear, quantizer: q, runtime: [reference, phone]}}")

    assert [case.case_id for case in found] == [
        "s/linear/quantizer=q,runtime=reference,device=cpu",
        "s/linear/quantizer=q,runtime=phone,device=cpu",
    ]
    assert [case.runtime is None for case in found] == [True, False]
    assert found[1].runtime_of("pt2e") == RuntimeUse(runtime="executorch", options={"partitioner": "xnnpack"})
    assert found[0].seed == found[1].seed


def test_a_suite_without_the_axis_is_what_it_was(tmp_path: Path) -> None:
    (case,) = cases(tmp_path, "{axes: {pattern: linear, quantizer: q}}")

    assert case.case_id == "s/linear/quantizer=q,device=cpu"
    assert (case.runtime, case.compare) == (None, ("prepare", "convert"))


def test_the_point_after_lowering_is_that_of_cases_with_a_runtime(tmp_path: Path) -> None:
    axes = "axes: {pattern: linear, quantizer: q, runtime: [reference, phone]}"

    assert [case.compare for case in cases(tmp_path, f"{{{axes}}}")] == [
        ("prepare", "convert"),
        ("prepare", "convert", "lowered"),
    ]
    assert [case.compare for case in cases(tmp_path, f"{{{axes}, compare: [lowered]}}")] == [(), ("lowered",)]
    assert [case.compare for case in cases(tmp_path, f"{{{axes}, compare: [convert]}}")] == [("convert",), ("convert",)]


def test_where_one_pipeline_runs_nothing_is_compared_by_default(tmp_path: Path) -> None:
    axes = "axes: {pattern: linear, quantizer: q, runtime: [reference, phone]}"
    found = cases(tmp_path, f"{{{axes}, pipelines: {{only: [pt2e], because: a test}}}}")

    assert [case.compare for case in found] == [(), ()]


def test_an_include_may_bring_the_only_runtime(tmp_path: Path) -> None:
    suite = "{axes: {pattern: linear, quantizer: q}, include: [{pattern: linear, quantizer: q, runtime: phone}]}"

    assert [case.compare for case in cases(tmp_path, suite)] == [
        ("prepare", "convert"),
        ("prepare", "convert", "lowered"),
    ]


def test_an_exclude_a_where_and_only_name_runtimes(tmp_path: Path) -> None:
    text = f"""{PHONE}
checks: {{c: {{at: convert, absent: [add]}}}}
suites:
  s:
    axes: {{pattern: linear, quantizer: q, runtime: [reference, phone], train_steps: [0, 1]}}
    exclude: [{{runtime: phone, train_steps: 1, because: a test}}]
    checks: [{{check: c, where: {{runtime: phone}}}}]
"""
    found = select(matrix(tmp_path, text), Selection())
    only = select(matrix(tmp_path, text), Selection.parse((), ("runtime=phone",), (), None))

    assert [len(case.checks) for case in found.cases] == [0, 0, 1]
    assert [item.count for item in found.dropped] == [1]
    assert [case.axes["runtime"] for case in only.cases] == ["phone"]


def test_cases_with_a_lifecycle_or_phases_are_skipped_with_the_reason_and_those_that_train_are_not(
    tmp_path: Path,
) -> None:
    axes = "{pattern: linear, quantizer: [q, rounds], runtime: [reference, phone], lifecycle: [none, deepcopy]}"
    found = {case.case_id.split("/")[2]: case.skip for case in cases(tmp_path, f"{{axes: {axes}}}")}
    trains = cases(tmp_path, "{axes: {pattern: linear, quantizer: q, runtime: phone, train_steps: 2}}")

    assert {name: why for name, why in found.items() if "runtime=phone" in name} == {
        "quantizer=q,runtime=phone,lifecycle=none,device=cpu": None,
        "quantizer=q,runtime=phone,lifecycle=deepcopy,device=cpu": (
            "runtime phone needs a case without a lifecycle, and this has deepcopy"
        ),
        "quantizer=rounds,runtime=phone,lifecycle=none,device=cpu": (
            "runtime phone needs a model that is quantized as a whole, and rounds has phases"
        ),
        "quantizer=rounds,runtime=phone,lifecycle=deepcopy,device=cpu": (
            "lifecycle deepcopy needs a model that is quantized as a whole, and rounds has phases"
        ),
    }
    assert found["quantizer=q,runtime=reference,lifecycle=deepcopy,device=cpu"] is None
    assert [case.skip for case in trains] == [None]


def test_an_option_is_another_case_and_a_description_is_not(tmp_path: Path) -> None:
    suite = "suites: {s: {axes: {pattern: linear, quantizer: q, runtime: it}}}\n"

    def digest(text: str) -> str:
        return matrix_digest(matrix(tmp_path, f"runtimes: {{it: {text}}}\n{suite}"))

    plain = digest("{pt2e: {runtime: onnxruntime}}")
    assert digest("{about: words, pt2e: {runtime: onnxruntime, optimization: all}}") == plain
    assert digest("{pt2e: {runtime: onnxruntime, optimization: none}}") != plain


def test_a_case_without_a_runtime_has_the_digest_that_it_had_before_there_were_any(tmp_path: Path) -> None:
    (case,) = cases(tmp_path, "{axes: {pattern: linear, quantizer: q}}")

    assert case_digests([case]) == {
        "s/linear/quantizer=q,device=cpu": "c53a5fb694338f982e87ae2c9e709c0541481d26dfdff9d6722c68b5a343a36f",
    }


@pytest.mark.parametrize(
    "text",
    [
        "{phone: {pt2e: {runtime: executorch, partitioner: none}, about: words}}",
        "{phone: {pt2e: {runtime: recorded, outputs: phone.safetensors}}}",
        "{phone: {fx: {runtime: native, engine: x86}, some.Pipeline: {runtime: some.Runtime, cores: [1, 2]}}}",
    ],
)
def test_the_json_schema_takes_what_is_right(text: str) -> None:
    jsonschema.validate(tree(f"runtimes: {text}"), json_schema())


def test_the_json_schema_takes_the_shipped_runtimes() -> None:
    jsonschema.validate(tree((folder("matrix") / "runtimes.yaml").read_text()), json_schema())


@pytest.mark.parametrize("fault", sorted(BAD.glob("runtime_*.yaml")), ids=lambda path: path.stem)
def test_the_json_schema_refuses_what_is_wrong_as_far_as_it_can_tell(fault: Path) -> None:
    # Who registers what, and what the user allows, are not in the schema, and whose programs a runtime takes.
    beyond = {"runtime_unknown", "runtime_not_allowed", "runtime_of_another_pipeline", "runtime_of_an_unknown_pipeline"}
    valid = jsonschema.Draft202012Validator(json_schema()).is_valid(tree(fault.read_text()))

    assert valid == (fault.stem in beyond)


def tree(text: str) -> object:
    root = parse(text.encode(), shown="f.yaml").root
    assert root is not None
    return data(root)


def test_the_reference_is_among_the_runtimes_that_a_suite_may_name(tmp_path: Path) -> None:
    (case,) = cases(tmp_path, f"{{axes: {{pattern: linear, quantizer: q, runtime: {REFERENCE}}}}}", text="")

    assert case.case_id.endswith("runtime=reference,device=cpu")
