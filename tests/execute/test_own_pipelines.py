"""Pipelines that are not built in: what they give is compared, and each of their faults is their own case's record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.cli.scripting import Subject, script_of
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.workers import execute
from qatrix.outcomes import Environment, Origin, PipelineOutcome, Record
from support.distributions import install

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("workers")]

OWN = "support.own_pipelines"
MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(4, 4)", b: "Linear(4, 4)"}}
    forward: ["return b(a(x))"]
    inputs: {{x: {{shape: [8, 4]}}}}
quantizers:
  q: {{mode: {mode}, pt2e: {{quantizer: XNNPACKQuantizer, config: {{is_qat: {is_qat}, is_dynamic: {is_dynamic}}}}}, "{name}": {told}}}
  phased: {{phases: [{{quantizer: q, skip_modules: [Linear]}}]}}
suites:
  s:
    axes: {{pattern: linear, quantizer: {quantizer}{axes}}}
    pipelines: {{only: [{only}], because: a test}}
    {more}
"""


def case_of(tmp_path: Path, name: str, **more: str) -> Case:
    path = tmp_path / "m.yaml"
    given = {"mode": "ptq", "told": "{}", "quantizer": "q", "axes": "", "only": name, "more": "compare: []"} | more
    given |= {f"is_{mode}": str(given["mode"] == mode).lower() for mode in ("qat", "dynamic")}
    path.write_text(MATRIX.format(name=name, **given))
    loaded = load([path], allowed_modules=("support",))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection()).cases
    return case


def record_of(tmp_path: Path, kind: str, **more: str) -> Record:
    return run_case(case_of(tmp_path, f"{OWN}.{kind}", **more))


def own(record: Record) -> PipelineOutcome:
    (found,) = (item for name, item in record.pipelines.items() if name not in {"pt2e", "fx"})
    return found


def run_in_a_worker(*cases: Case, timeout: float = 20.0) -> Mapping[str, Record]:
    options = Execution(workers=1, timeout=timeout)
    return {record.case_id: record for record in execute(list(cases), options=options, on_start=lambda _: None)}


def test_a_pipeline_of_a_users_own_runs_and_the_record_says_whose_it_is(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Rounding")

    assert record.verdict == "checked"
    assert own(record).origin == Origin(name="Rounding", module=OWN)
    assert own(record).sqnr_db is not None
    # Nothing is known of how it quantizes.
    assert (own(record).fake_quantizes, own(record).quantize_ops, own(record).keeps_float) == (None, None, False)
    assert {check.name for check in record.checks} == {
        "steady_eval",
        "deterministic_eval",
        "informative_outputs",
        "finite_outputs",
    }


def test_the_record_says_which_distribution_a_registered_pipeline_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point, code = "whose = whose_code:Rounding", f"from {OWN} import Rounding\n"
    monkeypatch.syspath_prepend(install(tmp_path / "site", "whose", point, code=code, group="qatrix.pipelines"))
    record = run_case(case_of(tmp_path, "whose"))

    assert own(record).origin == Origin(name="Rounding", module=OWN, distribution="whose", version="1.0")


def test_three_pipelines_are_compared_two_by_two_and_the_pair_that_differs_is_diagnosed(tmp_path: Path) -> None:
    name = f"{OWN}.Rounding"
    record = record_of(tmp_path, "Rounding", only=f"pt2e, pt2e_torch_ao, {name}", more="compare: [convert]")
    pairs = {(item.left, item.right): item.status for item in record.comparisons}

    assert pairs[("pt2e", name)] == "diverged"
    assert record.diagnosis is not None
    assert (record.diagnosis.left, record.diagnosis.right) == ("pt2e", name)


def test_a_diagnosis_claims_nothing_of_what_unknown_code_quantizes(tmp_path: Path) -> None:
    name = f"{OWN}.Rounding"
    record = record_of(tmp_path, "Rounding", only=f"pt2e, {name}", more="compare: [convert]")

    assert record.diagnosis is not None
    assert [cause.name for cause in record.diagnosis.causes] == ["unexplained"]
    assert "quantizes nothing" not in str(record.diagnosis.nearer_because)
    rows = [row for point in record.diagnosis.points for row in point.parameters]
    assert "left_only" not in {row.status for row in rows}


def test_a_pipeline_is_told_the_mode_and_a_mapping_that_it_cannot_change(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Told", told="{step: 0.5, deep: {sizes: [1, 2]}}", mode="dynamic")

    assert own(record).error is not None
    message = own(record).error.message  # type: ignore[union-attr]  # it is there
    assert message.startswith("dynamic ")
    assert "'step': 0.5" in message
    assert "'sizes': (1, 2)" in message
    assert message.endswith("frozen=True")


def test_other_settings_give_another_model(tmp_path: Path) -> None:
    coarse = record_of(tmp_path, "Rounding", told="{step: 0.5}")
    fine = record_of(tmp_path, "Rounding", told="{step: 0.001}")

    assert own(coarse).sqnr_db < own(fine).sqnr_db  # type: ignore[operator]  # both are there


def test_a_pipeline_that_changes_nothing_is_unquantized(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Idle")

    assert record.verdict == "unquantized"
    assert record.summary == f"{OWN}.Idle silently quantized nothing: its output equals the float model's"


@pytest.mark.parametrize(("kind", "status"), [("Idle", "passed"), ("Rounding", "failed")])
def test_where_nothing_is_to_be_quantized_its_output_says_whether_anything_was(
    tmp_path: Path, kind: str, status: str
) -> None:
    record = record_of(tmp_path, kind, more="quantizes: nothing")

    assert [check.status for check in record.checks if check.name == "nothing_quantized"] == [status]


def test_a_quantizer_that_a_pipeline_cannot_express_is_no_failure(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Unable", only=f"pt2e, {OWN}.Unable")

    assert own(record).status == "inexpressible"
    assert own(record).reason == "it knows no quantizer"


def test_a_reason_of_unknown_code_is_one_line_of_bounded_length(tmp_path: Path) -> None:
    reason = own(record_of(tmp_path, "Talkative", only=f"pt2e, {OWN}.Talkative")).reason

    assert reason is not None
    assert reason.startswith("first\\nsecond")
    assert "\n" not in reason
    assert len(reason) < 1100


@pytest.mark.parametrize(
    ("kind", "stage", "message"),
    [
        ("Plain", "prepare", f"{OWN}.Plain is no pipeline: it has no method prepare; expected a class with prepare and convert"),
        ("NoConvert", "prepare", f"{OWN}.NoConvert is no pipeline: it has no method convert; expected a class with prepare and convert"),
        ("not_callable", "prepare", f"{OWN}.not_callable is no pipeline: it has no method prepare; expected a class with prepare and convert"),
        ("Bare", "prepare", f"{OWN}.Bare cannot be called with a mode and a configuration: "),
        ("PreparesNothing", "prepare", f"prepare of {OWN}.PreparesNothing returned nothing; expected a torch.nn.Module"),
        ("ConvertsToNumber", "convert", f"convert of {OWN}.ConvertsToNumber returned an object of builtins.int; expected a torch.nn.Module"),
        ("Raises", "convert", "no such backend"),
        ("Leaves", "prepare", "3"),
        ("Missing", "prepare", f"module '{OWN}' has no attribute 'Missing'"),
    ],
)  # fmt: skip
def test_a_pipeline_that_misbehaves_fails_its_case_with_one_sentence(
    tmp_path: Path, kind: str, stage: str, message: str
) -> None:
    record = record_of(tmp_path, kind)
    error = own(record).error

    assert (record.verdict, own(record).failed_stage) == ("failed", stage)
    assert error is not None
    assert error.message.startswith(message)
    assert "\n" not in error.message


def test_a_configuration_that_a_pipeline_refuses_is_its_own_words(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Refuses", told="{bitz: 4}")

    assert (record.verdict, own(record).failed_stage) == ("failed", "prepare")
    assert record.summary.endswith("failed at prepare: ValueError: unknown key bitz")


def test_a_phase_that_leaves_classes_alone_is_nothing_for_a_pipeline_that_is_not_told(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Rounding", quantizer="phased")

    assert record.summary.endswith("cannot be told which classes to leave alone; expected a phase without skip_modules")


def test_a_pipeline_without_a_switch_that_training_needs_is_told(tmp_path: Path) -> None:
    axes = ", train_steps: 1, observer_state: disabled"
    record = record_of(tmp_path, "Rounding", mode="qat", axes=axes)

    assert own(record).failed_stage == "train"
    assert own(record).error is not None
    assert own(record).error.message == (  # type: ignore[union-attr]  # it is there
        f"{OWN}.Rounding has no method disable_observers; expected one, because the case switches them off or on"
    )


def test_a_pipeline_trains_as_the_others_do(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Rounding", mode="qat", axes=", train_steps: 2")

    assert record.verdict == "checked"
    assert "train" in {stage.name for stage in own(record).stages}


def test_what_a_pipeline_leaves_behind_is_told(tmp_path: Path) -> None:
    assert any("LEFT_BY_A_PIPELINE" in sentence for sentence in record_of(tmp_path, "Traces").traces)


@pytest.mark.parametrize("code", ["import sys\nsys.exit(4)\n", "raise KeyError('x')\n", "import nowhere_at_all\n"])
def test_a_registered_pipeline_that_does_not_import_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    name = f"broken_pipeline{len(code)}"
    point = f"{name} = {name}_code:Eager"
    monkeypatch.syspath_prepend(install(tmp_path / "site", name, point, code=code, group="qatrix.pipelines"))
    record = run_case(case_of(tmp_path, name))

    assert record.verdict == "unavailable"
    assert str(own(record).reason).startswith(
        f"{name}_code:Eager, which {name} 1.0 registers as a pipeline, cannot be imported ("
    )


def test_a_registered_model_runs_and_one_that_does_not_import_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in (("there", f"from {OWN} import net\n"), ("broken", "raise KeyError('x')\n")):
        point = f"{name}_net = {name}_code:net"
        monkeypatch.syspath_prepend(install(tmp_path / name, name, point, code=code, group="qatrix.models"))
    path = tmp_path / "m.yaml"
    path.write_text(
        "patterns:\n"
        "  one: {model: there_net, inputs: {x: {shape: [8, 4]}}}\n"
        "  two: {model: broken_net, inputs: {x: {shape: [8, 4]}}}\n"
        "quantizers: {q: {mode: ptq, pt2e: {quantizer: XNNPACKQuantizer}}}\n"
        "suites: {s: {axes: {pattern: [one, two], quantizer: q}}}\n"
    )
    matrix = load([path]).matrix
    assert matrix is not None
    one, two = map(run_case, select(matrix, Selection()).cases)

    assert one.verdict == "checked"
    assert two.verdict == "unavailable"
    assert "broken_code:net, which broken 1.0 registers as a model, cannot be imported" in two.summary


def test_a_pipeline_that_ends_its_process_crashes_its_case_alone(tmp_path: Path) -> None:
    first = case_of(tmp_path, f"{OWN}.Dies")
    (tmp_path / "other").mkdir()
    other = replace(case_of(tmp_path / "other", f"{OWN}.Rounding"), case_id="s/other")
    records = run_in_a_worker(first, other)

    assert records[first.case_id].verdict == "crashed"
    assert records["s/other"].verdict == "checked"


def test_a_pipeline_that_hangs_is_stopped(tmp_path: Path) -> None:
    case = case_of(tmp_path, f"{OWN}.Hangs")

    assert [record.verdict for record in run_in_a_worker(case, timeout=8.0).values()] == ["timed_out"]


def test_a_case_that_is_skipped_imports_no_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "import sys\nsys.exit(4)\n"
    point = "deadly = deadly_code:Eager"
    monkeypatch.syspath_prepend(install(tmp_path / "site", "deadly", point, code=code, group="qatrix.pipelines"))
    record = run_case(case_of(tmp_path, "deadly", more="skip: not today"))

    assert (record.verdict, record.reason) == ("skipped", "not today")


def test_no_script_is_made_of_what_qatrix_itself_says(tmp_path: Path) -> None:
    case = case_of(tmp_path, f"{OWN}.Plain")
    packages = {"torch": "2.15.0"}
    environment = Environment(
        python="3.11", platform="here", processor="this", packages=packages, devices={"cpu": "this"}, threads=1
    )
    with pytest.raises(
        ValueError, match=r"no script shows what qatrix says of a pipeline's own code: .*is no pipeline"
    ):
        script_of(Subject(case=case, record=run_case(case), environment=environment))
