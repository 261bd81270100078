"""Quantizer classes of a user's own: each of their faults is the record of their own case, in one sentence."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.workers import execute
from qatrix.outcomes import Origin, PipelineOutcome, Record
from support.distributions import install

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("workers")]

OWN = "support.own_quantizers"
MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(4, 4)", b: "Linear(4, 4)"}}
    forward: ["return b(a(x))"]
    inputs: {{x: {{shape: [8, 4]}}}}
quantizers:
  own: {{mode: {mode}, pt2e: {{{preset}}}}}
  phased: {{phases: [{{quantizer: own, skip_modules: [Linear]}}]}}
suites: {{s: {{axes: {{pattern: linear, quantizer: {quantizer}}}}}}}
"""


def case_of(
    tmp_path: Path, preset: str, *, mode: str = "ptq", quantizer: str = "own", allowed: str = "support"
) -> Case:
    path = tmp_path / "m.yaml"
    path.write_text(MATRIX.format(preset=preset, mode=mode, quantizer=quantizer))
    loaded = load([path], allowed_modules=(allowed,))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection()).cases
    return case


def record_of(tmp_path: Path, preset: str, **more: str) -> Record:
    return run_case(case_of(tmp_path, preset, **more))


def pt2e(record: Record) -> PipelineOutcome:
    return record.pipelines["pt2e"]


def run_in_a_worker(*cases: Case) -> dict[str, Record]:
    options = Execution(workers=1, timeout=20.0)
    return {record.case_id: record for record in execute(list(cases), options=options, on_start=lambda _: None)}


@pytest.mark.parametrize(
    ("preset", "steps"),
    [
        pytest.param(f"quantizer: {OWN}.Linear", 127, id="a class"),
        pytest.param(f"quantizer: {OWN}.Linear, config: {{bits: 4}}", 7, id="a class with arguments"),
        pytest.param(f"quantizer: {OWN}.made, config: {{bits: 3}}", 3, id="a function"),
        pytest.param(f"quantizer: {OWN}.Linear, config_from: {OWN}.config, config: {{bits: 2}}", 1, id="set_global"),
        pytest.param(f"quantizer: {OWN}.ReturnsNothing", 127, id="annotate returns nothing"),
    ],
)
def test_an_own_quantizer_is_made_and_configured_as_declared(tmp_path: Path, preset: str, steps: int) -> None:
    from qatrix.pipelines import PIPELINES
    from qatrix.pipelines.batches import build_inputs
    from qatrix.pipelines.models import build_model

    case = case_of(tmp_path, preset)
    pipeline, inputs = PIPELINES["pt2e"], build_inputs(case)
    captured = pipeline.capture(build_model(case).eval(), inputs, dynamic_batch=False)()
    prepared = pipeline.prepare(captured, inputs, case.quantizer, skip_modules=())

    assert {module.quant_max for module in prepared.modules() if hasattr(module, "quant_max")} == {steps}


def test_a_case_with_an_own_quantizer_runs_and_says_whose_it_was(tmp_path: Path) -> None:
    record = record_of(tmp_path, f"quantizer: {OWN}.Linear, config: {{bits: 4}}")

    assert record.verdict == "checked"
    assert pt2e(record).quantize_ops == 2
    assert pt2e(record).quantizers == (Origin(name="Linear", module=OWN),)
    # Nobody said how many bits it has, nor what it claims to quantize.
    assert "sqnr_of_bits" not in {check.name for check in record.checks}


def test_the_record_says_whose_a_built_in_is(tmp_path: Path) -> None:
    from importlib.metadata import version

    record = record_of(tmp_path, "quantizer: X86InductorQuantizer")

    assert pt2e(record).quantizers == (
        Origin(
            name="X86InductorQuantizer",
            module="torchao.quantization.pt2e.quantizer.x86_inductor_quantizer",
            distribution="torchao",
            version=version("torchao"),
        ),
    )
    assert record.pipelines["fx"].quantizers == ()


KIND = "torchao.quantization.pt2e.quantizer.quantizer.Quantizer"


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        pytest.param(
            f"quantizer: {OWN}.Plain",
            f"{OWN}.Plain made an object of {OWN}.Plain; expected a quantizer that derives from {KIND}",
            id="no quantizer",
        ),
        pytest.param(
            f"quantizer: {OWN}.nothing",
            f"{OWN}.nothing made nothing; expected a quantizer that derives from {KIND}",
            id="nothing",
        ),
        pytest.param(
            f"quantizer: {OWN}.Abstract", f"{OWN}.Abstract cannot be called with no arguments: ", id="abstract"
        ),
        pytest.param(
            f"quantizer: {OWN}.Linear, config: {{bitz: 4}}",
            f"{OWN}.Linear cannot be called with bitz: ",
            id="a class with other arguments",
        ),
        pytest.param(
            f"quantizer: {OWN}.Linear, config_from: {OWN}.config, config: {{bitz: 4}}",
            f"{OWN}.config cannot be called with bitz: ",
            id="a configuration with other arguments",
        ),
        pytest.param(
            f"quantizer: EmbeddingQuantizer, config_from: {OWN}.config, config: {{bits: 4}}",
            "EmbeddingQuantizer has no method set_global; expected one, because 'config_from' is declared",
            id="nowhere to put a configuration",
        ),
        pytest.param(f"quantizer: {OWN}.Raises", "no such backend", id="annotate raises"),
        pytest.param(f"quantizer: {OWN}.Leaves", "3", id="annotate exits"),
        pytest.param(
            f"quantizer: {OWN}.Changes",
            f"annotate of {OWN}.Changes changed the graph; expected that in transform_for_annotation alone",
            id="annotate changes the graph",
        ),
        pytest.param(
            f"quantizer: {OWN}.TransformsToNothing",
            f"transform_for_annotation of {OWN}.TransformsToNothing returned nothing; "
            "expected the torch.fx.GraphModule",
            id="no program",
        ),
        pytest.param(f"quantizer: {OWN}.Linear, config_from: {OWN}.bad_config", "'bits'", id="configuration raises"),
        pytest.param("quantizer: support.nowhere.Mine", "No module named 'support.nowhere'", id="no such module"),
        pytest.param(f"quantizer: {OWN}.Missing", f"module '{OWN}' has no attribute 'Missing'", id="no such class"),
    ],
)
def test_a_quantizer_that_misbehaves_fails_its_case_with_one_sentence(
    tmp_path: Path, preset: str, message: str
) -> None:
    record = record_of(tmp_path, preset)
    error = pt2e(record).error

    assert (record.verdict, pt2e(record).failed_stage) == ("failed", "prepare")
    assert error is not None
    assert error.message.startswith(message)
    assert "\n" not in error.message


def test_modules_are_left_alone_by_the_usual_method(tmp_path: Path) -> None:
    kept = record_of(tmp_path, f"quantizer: {OWN}.Linear", quantizer="phased")

    assert kept.verdict == "unquantized"


def test_what_a_quantizer_leaves_behind_is_told(tmp_path: Path) -> None:
    record = record_of(tmp_path, f"quantizer: {OWN}.Traces")

    assert any("LEFT_BY_A_QUANTIZER" in sentence for sentence in record.traces)


@pytest.mark.parametrize("code", ["import sys\nsys.exit(4)\n", "raise KeyError('x')\n", "import nowhere_at_all\n"])
def test_a_registered_quantizer_that_does_not_import_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    name = f"broken{len(code)}"
    monkeypatch.syspath_prepend(install(tmp_path / "site", name, f"Mine = {name}_code:Quantizer", code=code))
    record = record_of(tmp_path, "quantizer: Mine")

    assert record.verdict == "unavailable"
    assert str(pt2e(record).reason).startswith(
        f"{name}_code:Quantizer, which {name} 1.0 registers as a quantizer, cannot be imported ("
    )


def test_a_quantizer_of_executorch_that_is_not_here_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    monkeypatch.delitem(sys.modules, "executorch.backends.xnnpack.quantizer.xnnpack_quantizer", raising=False)
    record = record_of(tmp_path, "quantizer: executorch.XNNPACKQuantizer")

    assert record.verdict == "unavailable"
    assert str(pt2e(record).reason).endswith('; try: pip install "qatrix[executorch]"')
    # It was not even captured.
    assert pt2e(record).stages == ()


def test_a_module_of_the_users_own_that_exits_on_import_fails_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves_with_quantizer.py").write_text("import sys\nprint('bye')\nsys.exit(4)\n")
    monkeypatch.syspath_prepend(tmp_path)
    record = record_of(tmp_path, "quantizer: leaves_with_quantizer.Mine", allowed="leaves_with_quantizer")

    assert (record.verdict, pt2e(record).failed_stage) == ("failed", "prepare")
    assert pt2e(record).error is not None
    assert pt2e(record).error.type == "SystemExit"  # type: ignore[union-attr]  # it is there


@pytest.mark.parametrize("name", ["Forks", "Leaves"])
def test_a_case_of_such_a_quantizer_is_one_record_and_the_next_case_is_its_own(tmp_path: Path, name: str) -> None:
    first = case_of(tmp_path, f"quantizer: {OWN}.{name}")
    (tmp_path / "other").mkdir()
    other = replace(case_of(tmp_path / "other", f"quantizer: {OWN}.Linear"), case_id="s/other")
    records = run_in_a_worker(first, other)

    assert len(records) == 2
    assert records[first.case_id].verdict == ("checked" if name == "Forks" else "failed")
    assert records["s/other"].verdict == "checked"


def test_a_quantizer_that_ends_its_process_crashes_its_case_alone(tmp_path: Path) -> None:
    first = case_of(tmp_path, f"quantizer: {OWN}.Dies")
    (tmp_path / "other").mkdir()
    other = replace(case_of(tmp_path / "other", f"quantizer: {OWN}.Linear"), case_id="s/other")
    records = run_in_a_worker(first, other)

    assert records[first.case_id].verdict == "crashed"
    assert records["s/other"].verdict == "checked"


def test_a_process_that_a_quantizer_forks_does_not_come_back(tmp_path: Path) -> None:
    process = os.getpid()
    record = record_of(tmp_path, f"quantizer: {OWN}.Forks")

    assert record.verdict == "checked"
    assert os.getpid() == process


def test_a_module_that_forks_when_it_is_imported_gives_one_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"import os\nfrom {OWN} import Linear\nchild = os.fork()\nif child: os.waitpid(child, 0)\n"
    (tmp_path / "forks_with_quantizer.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    case = case_of(tmp_path, "quantizer: forks_with_quantizer.Linear", allowed="forks_with_quantizer")
    records = run_in_a_worker(case)

    assert [record.verdict for record in records.values()] == ["checked"]


def test_a_quantizer_that_hangs_is_stopped(tmp_path: Path) -> None:
    case = case_of(tmp_path, f"quantizer: {OWN}.Hangs")
    (record,) = execute([case], options=Execution(workers=1, timeout=8.0), on_start=lambda _: None)

    assert record.verdict == "timed_out"
