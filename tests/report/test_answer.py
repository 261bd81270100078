"""What a person who tried a model is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from qatrix.claims import SQNR_OF_BITS, Expectation, Verdict
from qatrix.errors import Source
from qatrix.judge.verdict import known_error
from qatrix.outcomes import CheckOutcome, ErrorReport, PipelineOutcome, Record
from qatrix.report.answer import answer_lines
from support.diagnoses import make_diagnosis
from support.lowerings import make_deployed
from support.records import make_outcome, make_record

KNOWN = Expectation(
    cases="elsewhere/*",
    verdict="failed",
    because="it is so",
    pipeline="fx",
    stage="prepare",
    message="not supported",
    checks=("weight_scales",),
    title="FX refuses it",
    link="https://example.org/1",
    source=Source(file="known.yaml", line=1, column=1),
)


def tried(verdict: Verdict = "exact", **changes: Any) -> Record:
    return make_record(verdict=verdict, axes={"pattern": "try_net", "quantizer": "int8"}, **changes)


def failing(message: str = "it is not supported yet", stage: str = "prepare", pipeline: str = "fx") -> Record:
    error = ErrorReport(type="AssertionError", message=message, traceback="")
    outcome = PipelineOutcome(pipeline=pipeline, status="failed", failed_stage=stage, error=error)
    return tried("failed", pipelines={pipeline: outcome})


@pytest.mark.parametrize("verdict", get_args(Verdict))
def test_every_verdict_has_its_word_and_something_to_do(verdict: Verdict) -> None:
    title, *_, last = answer_lines(tried(verdict), None)

    assert title.endswith(f"{verdict.replace('_', ' ')}: try_net with int8")
    assert last.startswith("What to do: ")
    assert last.endswith(".")


def test_a_known_error_is_told_with_its_cause_and_link() -> None:
    lines = answer_lines(failing(), known_error(failing(), [KNOWN]))

    assert "Known finding: FX refuses it (https://example.org/1)." in lines
    assert "  it is so" in lines


def test_a_known_error_whose_cause_has_advice_is_told_what_it_means_and_what_to_do() -> None:
    known = replace(KNOWN, sentence="FX raises here.", advice="Use PT2E.")
    lines = answer_lines(failing(), known)

    assert lines.index("  FX raises here.") < lines.index("  it is so")
    assert lines[-1] == "What to do: Use PT2E."


def test_where_one_pipeline_fails_the_other_is_preferred_if_it_passes_its_checks() -> None:
    record = failing()
    both = replace(record, pipelines={"pt2e": make_outcome("pt2e"), **record.pipelines})
    wrong = replace(both, checks=(CheckOutcome(name=SQNR_OF_BITS, pipeline="pt2e", status="failed"),))

    assert answer_lines(both, None)[-1].startswith(
        "What to do: Prefer pt2e, which runs this model and passes its checks. Take the script"
    )
    assert answer_lines(wrong, None)[-1].startswith("What to do: Take the script")
    assert answer_lines(record, None)[-1].startswith("What to do: Take the script")


def test_an_error_that_nothing_declares_is_told_as_new() -> None:
    assert "No known finding raises this error." in answer_lines(failing(), None)


@pytest.mark.parametrize(
    ("other", "expectation"),
    [
        pytest.param(failing(message="another"), KNOWN, id="another message"),
        pytest.param(failing(stage="convert"), KNOWN, id="another stage"),
        pytest.param(failing(pipeline="pt2e"), KNOWN, id="another pipeline"),
        pytest.param(failing(), replace(KNOWN, title=None), id="without a title"),
        pytest.param(failing(), replace(KNOWN, message=None), id="any message"),
        pytest.param(tried("diverged"), replace(KNOWN, verdict="diverged"), id="a difference"),
    ],
)
def test_what_is_not_declared_to_raise_this_is_no_known_cause(other: Record, expectation: Expectation) -> None:
    assert known_error(other, [expectation]) is None


def test_where_the_pipelines_part_the_nearer_one_is_named() -> None:
    made = replace(make_diagnosis(), nearer="pt2e", nearer_because="it is")
    lines = answer_lines(tried("diverged", diagnosis=made), None)

    assert lines[-1].startswith("What to do: Prefer pt2e")
    assert any(line.startswith("pt2e is nearer to the float model") for line in lines)


@pytest.mark.parametrize(("count", "told"), [(6, "1 more cause"), (7, "2 more causes")])
def test_of_many_causes_the_first_are_told_and_the_rest_counted(count: int, told: str) -> None:
    (cause, *_) = make_diagnosis().causes
    others = [replace(cause, sentence=f"it is number {number}", explains_first=False) for number in range(1, count)]
    made = replace(make_diagnosis(), causes=(*others, replace(cause, sentence="it is first", explains_first=True)))
    lines = answer_lines(tried("diverged", diagnosis=made), None)
    causes = [line.rpartition(": ")[2] for line in lines if line.startswith("Cause, ")]

    assert causes == ["it is first.", *(f"it is number {number}." for number in range(1, 5))]
    assert f"{told} in the report." in lines


def test_where_float_cannot_decide_either_will_do() -> None:
    made = replace(make_diagnosis(), nearer=None, nearer_because="both are as near")

    assert answer_lines(tried("diverged", diagnosis=made), None)[-1].startswith("What to do: As far as the float")


def test_where_both_lose_too_much_neither_is_recommended() -> None:
    made = replace(make_diagnosis(), nearer="pt2e", nearer_because="it is")
    checks = tuple(
        CheckOutcome(name=SQNR_OF_BITS, pipeline=name, status="failed", message="lossy")
        for name in (made.left, made.right)
    )

    assert answer_lines(tried("diverged", diagnosis=made, checks=checks), None)[-1].startswith("What to do: Neither")


def test_what_varies_is_told_where_an_offset_hides_its_noise() -> None:
    outcomes = {
        name: make_outcome(name, sqnr_db=40.0, variation_db=varying) for name, varying in (("pt2e", 12.0), ("fx", 39.0))
    }

    assert (
        "Quality against the float model (SQNR): "
        "pt2e 40.0 dB (12.0 dB of what varies from sample to sample), fx 40.0 dB."
    ) in answer_lines(tried(pipelines=outcomes), None)


def test_what_a_runtime_gives_is_told() -> None:
    lines = answer_lines(make_deployed(), None)

    assert (
        "In the runtime, fx on native (engine qnnpack): SQNR 36.2 dB, 0 quantization steps off its reference, "
        "all that is quantized runs in integers, 12345 bytes."
    ) in lines
