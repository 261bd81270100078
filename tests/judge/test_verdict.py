"""Verdicts: the first that the facts bear out, in words; expectations are strict both ways."""

from __future__ import annotations

from typing import Any

import pytest

from qatrix.claims import Expectation
from qatrix.errors import Source
from qatrix.judge.verdict import Conclusion, conclude, with_expectation, with_traces
from qatrix.outcomes import CheckOutcome, Comparison, ErrorReport, PipelineOutcome, Record

SOURCE = Source(file="matrix/expected/x.yaml", line=3, column=5)
BOOM = ErrorReport(type="builtins.TypeError", message="no such thing\nand more", traceback="…")


def ran(name: str, **facts: Any) -> PipelineOutcome:
    counts = {"fake_quantizes": 3, "quantize_ops": 2, "dequantize_ops": 3}
    return PipelineOutcome(pipeline=name, status="ok", **{**counts, **facts})


def failed(name: str, stage: str = "prepare") -> PipelineOutcome:
    return PipelineOutcome(pipeline=name, status="failed", failed_stage=stage, error=BOOM)


def compared(status: Any = "exact", at: str = "convert", **facts: Any) -> Comparison:
    return Comparison(at=at, left="pt2e", right="fx", status=status, rtol=1.3e-6, atol=1e-5, **facts)


def concluded(
    *outcomes: PipelineOutcome,
    comparisons: tuple[Comparison, ...] = (),
    checks: tuple[CheckOutcome, ...] = (),
    **more: Any,
) -> Conclusion:
    return conclude(
        pipelines={item.pipeline: item for item in outcomes}, comparisons=comparisons, checks=checks, **more
    )


# Of a program of unknown code.
UNSEEN: dict[str, Any] = {"fake_quantizes": None, "quantize_ops": None, "dequantize_ops": None}
MISSED = CheckOutcome(name="fused", pipeline="pt2e", status="failed", message="expected conv")
APART = compared("diverged", max_abs=0.016, max_steps=3.2)


@pytest.mark.parametrize(
    ("conclusion", "verdict", "summary"),
    [
        pytest.param(
            concluded(ran("pt2e"), ran("fx"), comparisons=(compared(), compared(at="prepare"))),
            "exact",
            "bit-identical, and every check holds",
            id="exact",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("fx"), comparisons=(compared(), compared("close", max_abs=2e-6))),
            "close",
            "within tolerance (largest difference 2e-06), and every check holds",
            id="close",
        ),
        pytest.param(
            concluded(ran("pt2e"), PipelineOutcome(pipeline="fx", status="inexpressible", reason="biases stay float")),
            "checked",
            "every check holds on pt2e; fx did not run: biases stay float",
            id="one-sided",
        ),
        pytest.param(
            concluded(ran("pt2e", sqnr_db=30.0), ran("fx", sqnr_db=8.6), comparisons=(APART,)),
            "diverged",
            "pt2e and fx differ by 0.016 after convert (3.2 quantization steps); pt2e is closer to the float model (SQNR 30.0 against 8.6 dB)",
            id="diverged",
        ),
        pytest.param(
            concluded(ran("pt2e", sqnr_db=30.0), ran("fx", sqnr_db=30.2), comparisons=(APART,)),
            "diverged",
            "pt2e and fx differ by 0.016 after convert (3.2 quantization steps); "
            "equally close to the float model (SQNR pt2e 30.0 and fx 30.2 dB)",
            id="diverged, undecided",
        ),
        pytest.param(
            concluded(
                ran("pt2e"),
                ran("fx"),
                comparisons=(
                    compared(at="prepare"),
                    compared("diverged", at="train_loss", max_abs=0.5, max_abs_at="['step 2']"),
                    compared("diverged", at="train_gradients", max_abs=1.25, max_abs_at="['conv.weight'][0, 1]"),
                    compared("close", at="train_statistics", max_abs=1e-6, max_abs_at="['bn.running_var'][0]"),
                    compared("diverged", max_abs=0.016),
                ),
            ),
            "diverged",
            "pt2e and fx differ by 0.5 in the loss of training (step 2), "
            "by 1.25 in the gradients of the first step (conv.weight[0, 1]); pt2e and fx differ by 0.016 after convert",
            id="diverged in training",
        ),
        pytest.param(
            concluded(
                ran("pt2e"),
                ran("fx"),
                comparisons=(
                    compared("mismatched", at="train_gradients", message="only pt2e has conv.bias"),
                    compared("diverged", at="train_parameters", max_abs=0.5, max_abs_at="['conv.bias'][0]"),
                ),
            ),
            "diverged",
            "pt2e and fx cannot be compared in the gradients of the first step: only pt2e has conv.bias; "
            "pt2e and fx differ by 0.5 in the parameters after training (conv.bias[0])",
            id="a parameter of one pipeline",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("fx"), comparisons=(compared("mismatched", message="the structures differ"),)),
            "diverged",
            "pt2e and fx cannot be compared after convert: the structures differ",
            id="mismatched",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("fx"), comparisons=(compared(),), checks=(MISSED,)),
            "check_failed",
            "check fused fails on pt2e: expected conv",
            id="check failed",
        ),
        pytest.param(
            concluded(ran("pt2e", fake_quantizes=0), ran("fx"), comparisons=(compared(),)),
            "unquantized",
            "pt2e silently quantized nothing: there is no fake quantize or observer after prepare",
            id="nothing prepared",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("fx", quantize_ops=0, dequantize_ops=0), comparisons=(APART,), checks=(MISSED,)),
            "unquantized",
            "fx silently quantized nothing: there is no quantize or dequantize op after convert",
            id="nothing converted outranks diverged",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("own", **UNSEEN, keeps_float=True), comparisons=(APART,)),
            "unquantized",
            "own silently quantized nothing: its output equals the float model's",
            id="unknown code that changes nothing",
        ),
        pytest.param(
            concluded(ran("pt2e"), ran("own", **UNSEEN, keeps_float=False), comparisons=(compared(),)),
            "exact",
            "bit-identical, and every check holds",
            id="unknown code in which no ops are seen",
        ),
        pytest.param(
            concluded(failed("pt2e", "capture"), failed("fx")),
            "failed",
            "pt2e failed at capture: TypeError: no such thing; fx failed at prepare: TypeError: no such thing",
            id="both failed",
        ),
        pytest.param(
            concluded(failed("fx"), PipelineOutcome(pipeline="pt2e", status="unavailable", reason="no torchao")),
            "unavailable",
            "not available here: pt2e: no torchao",
            id="unavailable outranks failed",
        ),
        pytest.param(concluded(skipped="no CUDA"), "skipped", "skipped: no CUDA", id="skipped"),
        pytest.param(
            concluded(invalid=BOOM),
            "invalid",
            "the float model itself does not run: TypeError: no such thing",
            id="invalid",
        ),
        pytest.param(
            concluded(crashed=BOOM), "crashed", "qatrix failed on this case: TypeError: no such thing", id="crashed"
        ),
    ],
)
def test_the_verdict_is_the_first_that_the_facts_bear_out(conclusion: Conclusion, verdict: str, summary: str) -> None:
    assert (conclusion.verdict, conclusion.summary) == (verdict, summary)


def test_a_check_that_was_not_made_on_a_pipeline_that_ran_fails() -> None:
    late = CheckOutcome(name="mixed", pipeline="pt2e", status="not_run", message="no reexport")

    assert concluded(ran("pt2e"), checks=(late,)).verdict == "check_failed"
    assert concluded(failed("pt2e"), checks=(late,)).verdict == "failed"


def record(verdict: Any = "exact", **facts: Any) -> Record:
    return Record(
        case_id="s/p/dim=1", suite="s", axes={}, verdict=verdict, summary=f"it is {verdict}", source=SOURCE, **facts
    )


def expectation(verdict: Any = "diverged", **facts: Any) -> Expectation:
    return Expectation(cases="s/*", verdict=verdict, because="known", source=SOURCE, **facts)


FX_FAILED = record("failed", pipelines={"pt2e": ran("pt2e"), "fx": failed("fx")})


@pytest.mark.parametrize(
    ("seen", "expected", "because"),
    [
        pytest.param(record("exact"), None, None, id="exact needs none"),
        pytest.param(record("skipped"), None, None, id="skipped needs none"),
        pytest.param(record("diverged"), None, "no entry under `expected` covers this case", id="diverged needs one"),
        pytest.param(record("diverged"), expectation(), None, id="as expected"),
        pytest.param(record("skipped"), expectation(), None, id="not tried"),
        pytest.param(
            record("exact"),
            expectation(),
            "the entry at matrix/expected/x.yaml:3:5 expects diverged, but the verdict is exact; if it stays this way, remove the entry",
            id="better is news",
        ),
        pytest.param(
            record("failed"),
            expectation(),
            "the entry at matrix/expected/x.yaml:3:5 expects diverged, but the verdict is failed",
            id="worse",
        ),
        pytest.param(
            FX_FAILED,
            expectation("failed", pipeline="fx", stage="prepare", error="TypeError", message="such"),
            None,
            id="all parts fit",
        ),
        pytest.param(
            FX_FAILED,
            expectation("failed", pipeline="pt2e"),
            "the entry at matrix/expected/x.yaml:3:5 expects this of pt2e, which did not do it",
            id="other pipeline",
        ),
        pytest.param(
            record("failed", pipelines={"pt2e": failed("pt2e"), "fx": failed("fx")}),
            expectation("failed", pipeline="fx"),
            "the entry at matrix/expected/x.yaml:3:5 expects this only of fx, but pt2e did it, too",
            id="one more pipeline",
        ),
        pytest.param(
            FX_FAILED,
            expectation("failed", stage="convert"),
            "the entry at matrix/expected/x.yaml:3:5 expects stage 'convert', but it is failed",
            id="other stage",
        ),
        pytest.param(
            FX_FAILED,
            expectation("failed", message="out of memory"),
            "the entry at matrix/expected/x.yaml:3:5 expects message 'out of memory', but it is failed",
            id="other message",
        ),
        pytest.param(
            record("diverged", pipelines={"pt2e": ran("pt2e")}, checks=(MISSED,)),
            expectation(),
            "diverged as expected, but these checks also fail: fused",
            id="a difference does not hide a check",
        ),
        pytest.param(
            record("diverged", pipelines={"pt2e": ran("pt2e")}, checks=(MISSED,)),
            expectation(checks=("fused",)),
            None,
            id="named check",
        ),
        pytest.param(
            record("diverged"),
            expectation(checks=("fused",)),
            "these checks were expected to fail, but they hold: fused",
            id="named check holds",
        ),
        pytest.param(
            record("check_failed", pipelines={"pt2e": ran("pt2e")}, checks=(MISSED,)),
            expectation("check_failed"),
            None,
            id="any check",
        ),
        pytest.param(
            record("unquantized", pipelines={"pt2e": ran("pt2e", fake_quantizes=0), "fx": ran("fx")}),
            expectation("unquantized", pipeline="fx"),
            "the entry at matrix/expected/x.yaml:3:5 expects this of fx, which did not do it",
            id="unquantized by the other",
        ),
    ],
)
def test_an_expectation_is_strict_both_ways(seen: Record, expected: Expectation | None, because: str | None) -> None:
    judged = with_expectation(seen, expected)

    assert judged.unexpected_because == because
    assert judged.unexpected == (because is not None)
    assert judged.expected == expected


TRACES = ("the locale was C and is tlh", "sys.path has changed: added '/tmp'", "a was 1 and is 2", "b was 1 and is 2")


def with_verdict(verdict: Any, *outcomes: PipelineOutcome, **more: Any) -> Record:
    return Record(
        case_id="s/p/dim=2",
        suite="s",
        axes={},
        verdict=verdict,
        summary="as it was",
        pipelines={item.pipeline: item for item in outcomes},
        source=SOURCE,
        **more,
    )


def test_a_record_without_traces_stays_as_it_is() -> None:
    plain = with_verdict("exact", ran("pt2e"), ran("fx"))

    assert with_traces(plain, ()) is plain


def test_traces_fail_a_check_on_every_pipeline_that_ran() -> None:
    absent = PipelineOutcome(pipeline="fx", status="inexpressible", reason="it cannot")
    told = with_traces(with_verdict("checked", ran("pt2e"), absent), TRACES)

    (check,) = told.checks
    assert told.traces == TRACES
    assert (told.verdict, check.name, check.pipeline, check.status) == (
        "check_failed",
        "leaves_no_trace",
        "pt2e",
        "failed",
    )
    assert check.message == "the locale was C and is tlh; sys.path has changed: added '/tmp'; a was 1 and is 2; 1 more"
    assert told.summary == f"check leaves_no_trace fails on pt2e: {check.message}"


@pytest.mark.parametrize(
    ("verdict", "outcomes", "checks"),
    [
        pytest.param("failed", (ran("pt2e"), failed("fx")), 2, id="failed"),
        pytest.param("invalid", (), 0, id="invalid"),
        pytest.param("crashed", (), 0, id="crashed"),
    ],
)
def test_a_case_that_has_a_worse_verdict_keeps_it(verdict: Any, outcomes: Any, checks: int) -> None:
    told = with_traces(with_verdict(verdict, *outcomes), TRACES)

    assert (told.verdict, told.traces, len(told.checks)) == (verdict, TRACES, checks)
    assert told.summary.endswith(f"; the case left changes behind: {'; '.join(TRACES[:3])}; 1 more")


def test_traces_are_said_once_for_all_pipelines() -> None:
    told = with_traces(with_verdict("exact", ran("pt2e"), ran("fx")), TRACES[:1])

    assert told.summary == "check leaves_no_trace fails on pt2e and fx: the locale was C and is tlh"


LEFT = "these checks also fail: leaves_no_trace"


@pytest.mark.parametrize(
    ("verdict", "checks", "because"),
    [
        pytest.param("invalid", (), f"invalid as expected, but {LEFT}", id="invalid"),
        pytest.param("invalid", ("leaves_no_trace",), None, id="invalid, named"),
        pytest.param("crashed", (), f"crashed as expected, but {LEFT}", id="crashed"),
        pytest.param("check_failed", (), f"check_failed as expected, but {LEFT}", id="any check"),
        pytest.param("check_failed", ("leaves_no_trace",), None, id="this check"),
        pytest.param("unavailable", (), f"unavailable as expected, but {LEFT}", id="unavailable"),
        pytest.param("unavailable", ("leaves_no_trace",), None, id="unavailable, named"),
    ],
)
def test_traces_are_expected_only_where_their_check_is_named(verdict: Any, checks: Any, because: str | None) -> None:
    seen = with_traces(with_verdict(verdict), TRACES)

    assert with_expectation(seen, expectation(verdict, checks=checks)).unexpected_because == because


def test_a_case_that_needs_no_expectation_needs_one_for_its_traces() -> None:
    judged = with_expectation(with_traces(with_verdict("unavailable"), TRACES), None)

    assert judged.unexpected_because == "no entry under `expected` covers what the case left behind"


def test_traces_that_are_expected_have_to_be_there() -> None:
    judged = with_expectation(with_verdict("invalid"), expectation("invalid", checks=("leaves_no_trace",)))

    assert judged.unexpected_because == "these checks were expected to fail, but they hold: leaves_no_trace"
