"""The YAML that declares a case: what is proposed covers it, whatever the verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qatrix.outcomes import CheckOutcome, Record
from qatrix.report.declaring import declaring_hint, expectation_yaml
from support.diagnoses import make_diagnosis
from support.project import Project
from support.records import (
    ENVIRONMENT,
    make_diverged,
    make_error,
    make_expectation,
    make_failed,
    make_hostile,
    make_outcome,
    make_record,
)

FAILED = CheckOutcome(name="conv_bn_fused", pipeline="pt2e", status="failed", message="no")
UNCHECKED = CheckOutcome(name="observed", pipeline="pt2e", status="not_run")
RECORDS = {
    "diverged": make_diverged(),
    "diverged with a failed check": make_diverged(checks=(FAILED,)),
    "diverged with a check that was not made": make_diverged(checks=(UNCHECKED,)),
    "failed": make_failed(expected=None),
    "failed with a message of many lines": make_failed(
        expected=None,
        pipelines={
            "pt2e": make_outcome(),
            "fx": make_outcome(
                "fx", status="failed", failed_stage="convert", error=make_error('"a": [1]\n' + "b" * 500)
            ),
        },
    ),
    "both failed": make_failed(
        expected=None,
        pipelines={
            name: make_outcome(name, status="failed", failed_stage="prepare", error=make_error(f"{name} does not"))
            for name in ("pt2e", "fx")
        },
    ),
    "check failed": make_record(verdict="check_failed", summary="check failed", checks=(FAILED,)),
    "unquantized": make_record(
        verdict="unquantized",
        summary="fx quantized nothing",
        pipelines={"pt2e": make_outcome(), "fx": make_outcome("fx", fake_quantizes=0, quantize_ops=0)},
    ),
    "crashed": make_record(verdict="crashed", summary="crashed", pipelines={}, comparisons=(), checks=()),
    "traces": make_record(traces=("torch.manual_seed was replaced",)),
}
CASE = "first/linear/bias=true,quantizer=int8,device=cpu"


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_what_show_proposes_makes_the_case_an_expected_one(project: Project, record: Record) -> None:
    project.execution.records = lambda case: replace(
        record, case_id=case.case_id, suite=case.suite, axes=dict(case.axes), source=case.source
    )
    assert project.run("run", "--fresh", "--case", CASE).code == 1
    shown = project.run("show", CASE).out
    # The entry ends where the facts begin.
    lines = shown.partition("expected:\n")[2].partition("\n\n")[0].splitlines()
    project.write({"matrix/expected.yaml": "\n".join(["expected:", *lines])})

    assert project.run("run", "--fresh", "--case", CASE).code == 0


def test_a_case_whose_id_is_no_glob_is_named_by_one_that_fits_it() -> None:
    proposed = str(expectation_yaml(make_diverged("s/p/kernel=[3,3],text={a}*"), ENVIRONMENT))

    assert 'cases: "s/p/kernel=[[]3,3],text=?a?[*]"' in proposed


def test_a_cause_that_is_known_is_filled_in() -> None:
    diagnosis = make_diagnosis()
    proposed = str(expectation_yaml(make_diverged(diagnosis=diagnosis), ENVIRONMENT))

    assert f'because: "{diagnosis.causes[0].sentence}"' in proposed


def test_where_nothing_is_to_be_declared_nothing_is_proposed() -> None:
    assert expectation_yaml(make_record(unexpected=True), ENVIRONMENT) is None


def test_an_entry_that_fits_already_is_named() -> None:
    assert "matrix/expected/fx_conv_transpose.yaml:2:5" in declaring_hint(
        make_diverged(expected=make_expectation("failed"))
    )


def test_hostile_text_stays_in_its_quotes() -> None:
    proposed = str(expectation_yaml(make_hostile(), ENVIRONMENT))

    assert all(line.startswith(("expected:", "  - ", "    ")) for line in proposed.splitlines())
