"""Runtimes that are not built in: what they give is held against its reference, and each fault is its own case's."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.workers import execute
from qatrix.lowerings import Kernel
from qatrix.outcomes import PipelineOutcome, Record
from support.distributions import install

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("workers")]

OWN = "support.own_runtimes"
MATRIX = """
patterns:
  linear:
    layers: {{a: "Linear(4, 4)", b: "Linear(4, 4)"}}
    forward: ["return b(a(x))"]
    inputs: {{x: {{shape: [8, 4]}}}}
quantizers:
  q: {{mode: ptq, pt2e: {{quantizer: XNNPACKQuantizer, config: {{is_per_channel: true}}}}}}
runtimes:
  own: {{pt2e: {{runtime: {name}{options}}}}}
suites:
  s:
    axes: {{pattern: linear, quantizer: q, runtime: own}}
    pipelines: {{only: [pt2e], because: a test}}
"""


def case_of(tmp_path: Path, name: str, options: str = "") -> Case:
    path = tmp_path / "m.yaml"
    path.write_text(MATRIX.format(name=name, options=options))
    loaded = load([path], allowed_modules=("support",))
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection()).cases
    return case


def record_of(tmp_path: Path, kind: str, options: str = "") -> Record:
    return run_case(case_of(tmp_path, f"{OWN}.{kind}", options))


def outcome(record: Record) -> PipelineOutcome:
    return record.pipelines["pt2e"]


def test_what_it_gives_is_held_against_its_reference(tmp_path: Path) -> None:
    right, wrong = record_of(tmp_path, "Accounting"), record_of(tmp_path, "Doubling", ", cores: 4")

    assert (right.verdict, wrong.verdict) == ("exact", "diverged")
    assert outcome(wrong).lowering is not None
    assert [(item.at, item.left, item.right) for item in wrong.comparisons] == [
        ("lowered", "pt2e", f"pt2e on {OWN}.Doubling")
    ]


def test_the_record_has_what_it_says_of_what_ran(tmp_path: Path) -> None:
    account = ', account: {kernels: [{name: gemm, arithmetic: integers, layers: ["a", "b"]}], size_bytes: 10}'
    lowering = outcome(record_of(tmp_path, "Accounting", account)).lowering

    assert lowering is not None
    assert lowering.ran is not None
    assert lowering.ran.kernels == (Kernel(name="gemm", arithmetic="integers", layers=("a", "b")),)
    assert lowering.ran.size_bytes == 10


def test_one_that_lacks_something_is_unavailable_with_its_own_sentence(tmp_path: Path) -> None:
    record = record_of(tmp_path, "Absent")

    assert record.verdict == "unavailable"
    assert "no accelerator is\\nconnected; connect one" in record.summary


def test_a_registered_one_that_does_not_import_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point, code = "tpu = broken_code:Tpu", "raise OSError('no library')"
    monkeypatch.syspath_prepend(install(tmp_path / "site", "broken", point, code=code, group="qatrix.runtimes"))
    record = run_case(case_of(tmp_path, "tpu"))

    assert record.verdict == "unavailable"
    assert "broken_code:Tpu, which broken 1.0 registers as a runtime, cannot be imported" in record.summary


@pytest.mark.parametrize(
    ("kind", "options", "stage", "told"),
    [
        ("NoRuntime", "", "lower", "is no runtime: it has no method lower"),
        ("gone", "", "lower", "has no attribute 'gone'"),
        ("NeverMade", ", cores: 4", "lower", "no such option as cores"),
        ("TakesNothing", "", "lower", "cannot be called with its options"),
        ("GivesNothing", "", "lower", "returned nothing; expected a torch.nn.Module"),
        ("Accounting", ", account: {kernel: []}", "lowered_forward", "lowered has 'kernel'; expected kernels"),
        ("TiresOut", "", "lowered_forward", "worn out"),
    ],
)
def test_what_it_does_wrong_is_the_failure_of_its_case_with_the_stage(
    tmp_path: Path, kind: str, options: str, stage: str, told: str
) -> None:
    record = record_of(tmp_path, kind, options)
    found = outcome(record)

    assert record.verdict == "failed"
    assert found.failed_stage == stage
    assert found.error is not None
    assert told in found.error.message


def test_one_that_ends_its_process_is_crashed(tmp_path: Path) -> None:
    case = case_of(tmp_path, f"{OWN}.Aborting")
    options = Execution(workers=1, timeout=30.0)
    (record,) = execute([case], options=options, on_start=lambda _: None)

    assert record.verdict == "crashed"
