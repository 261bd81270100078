"""What a record says of a case whose pipelines differ, and what is not asked is not found out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qatrix.execute import isolation
from qatrix.execute.case import run_case
from qatrix.execute.options import Diagnose
from qatrix.pipelines import PIPELINES
from support.cases import factory_case, shipped_cases
from support.leaving import leave
from support.results import without_times

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]


# FX has no QAT module for it, and PT2E leaves it in float.
UNQUANTIZED = "conv_transpose_numerics/conv/*dim=1*per_channel*"
# A gamma so small that its batch norm folds into weights below the least scale, in both.
FAR_FROM_FLOAT = "gammas/conv_bn_relu_gamma/dim=1,gamma=1e-06,*per_tensor_ptq*"
# Neither pipeline folds the second of two batch norms.
WRONG_ALIKE = "batch_norms_wide/conv_bn_bn/dim=1,*per_tensor_qat*"
# They differ after prepare, and PT2E fails to convert.
CUT_SHORT = "batch_norms/shared_conv_bn/dim=2,*"
PROVES_NOTHING = "batch_norms_wide/conv_bn_relu_gamma/dim=1,*per_channel_ptq*"
EXACT = "conv_no_bias/conv/*dim=1*per_channel*"


def test_a_case_that_differs_says_where_in_its_summary() -> None:
    (case,) = shipped_cases(UNQUANTIZED)
    record = run_case(case)

    assert record.diagnosis is not None
    assert record.diagnosis.first is not None
    assert record.summary.endswith("; first difference at conv after prepare: pt2e leaves conv (ConvTranspose1d) in float, but fx quantizes it")  # fmt: skip


@pytest.mark.parametrize(
    ("glob", "wanted", "found"),
    [
        pytest.param(EXACT, "differences", False, id="exact"),
        pytest.param(EXACT, "all", True, id="exact, on request"),
        pytest.param(FAR_FROM_FLOAT, "differences", True, id="equal and far from float"),
        pytest.param(UNQUANTIZED, "never", False, id="different, not wanted"),
        pytest.param(WRONG_ALIKE, "differences", True, id="equal and wrong alike"),
        pytest.param(WRONG_ALIKE, "never", False, id="equal and wrong alike, not wanted"),
        pytest.param(CUT_SHORT, "differences", True, id="different before one fails"),
        pytest.param(CUT_SHORT, "never", False, id="different before one fails, not wanted"),
        pytest.param(PROVES_NOTHING, "differences", False, id="equal, and the float model proves nothing"),
    ],
)
def test_a_diagnosis_is_made_where_it_is_wanted(glob: str, wanted: Diagnose, found: bool) -> None:
    (case,) = shipped_cases(glob)

    assert (run_case(case, diagnose=wanted).diagnosis is not None) == found


@pytest.mark.parametrize("quantizer", ["xnnpack_int8_per_channel_ptq", "xnnpack_int8_per_tensor_qat"])
@pytest.mark.parametrize("name", ["KeywordConv", "KeywordLinear"])
def test_a_model_may_pass_its_arguments_by_keyword(name: str, quantizer: str) -> None:
    record = run_case(factory_case(f"support.keywords.{name}", [2, 3, 8, 8], quantizer), diagnose="all")

    assert record.verdict == "exact", record.summary
    assert record.diagnosis is not None
    assert not record.diagnosis.notes


def test_a_layer_that_fx_cannot_call_by_keyword_is_a_failure_of_fx() -> None:
    record = run_case(factory_case("support.keywords.KeywordLayer", [2, 3, 8, 8], "xnnpack_int8_per_channel_ptq"))

    # The reference modules of torch.ao call their first parameter x.
    assert record.verdict == "failed"
    assert record.summary.startswith("fx failed at quantized_forward: TypeError: ")


def test_a_case_without_a_diagnosis_keeps_its_converted_programs_by_layer() -> None:
    (case,) = shipped_cases(EXACT)
    kept, diagnosed = (run_case(case, diagnose=wanted) for wanted in ("differences", "all"))

    assert [graph.pipeline for graph in kept.graphs] == ["pt2e", "fx"]
    for graph in kept.graphs:
        assert {"x", "conv"} <= {line.layer for line in graph.lines}
        assert any("quantize_per_tensor" in line.text for line in graph.lines)
    assert diagnosed.graphs == ()


def test_a_diagnosis_changes_nothing_else_about_a_record() -> None:
    (case,) = shipped_cases(EXACT)
    plain, diagnosed = (without_times(run_case(case, diagnose=wanted)) for wanted in ("never", "all"))

    assert diagnosed.diagnosis is not None
    assert diagnosed.diagnosis.first is None
    assert (plain.verdict, plain.comparisons, plain.checks) == (
        diagnosed.verdict,
        diagnosed.comparisons,
        diagnosed.checks,
    )
    assert plain.summary == diagnosed.summary


def test_what_both_leave_undone_is_a_cause_though_they_agree() -> None:
    (case,) = shipped_cases(WRONG_ALIKE)
    diagnosis = run_case(case).diagnosis

    assert diagnosis is not None
    assert diagnosis.first is None
    left, lost = diagnosis.causes
    assert (left.name, left.kind, left.layer) == ("batch_norm_left_by_both", "defect", "bn2")
    assert left.sentence == "neither pt2e nor fx folds bn2 into conv"
    # Of what varies from sample to sample, the first batch norm, which both fold, leaves 28 dB.
    assert (lost.name, lost.layer) == ("shared_loss", "bn1")


def test_where_both_are_far_from_the_float_model_the_layer_is_named_at_which_they_leave_it() -> None:
    (case,) = shipped_cases(FAR_FROM_FLOAT)
    diagnosis = run_case(case).diagnosis

    assert diagnosis is not None
    assert diagnosis.first is None
    (cause,) = diagnosis.causes
    assert (cause.name, cause.kind, cause.layer) == ("shared_loss", "unexplained", "bn")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("leave", "SystemExit", "0"),
        ("step_aside", "support.leaving.Aside", "not here"),
        ("fail_without_a_word", "support.leaving.Mute", "(it cannot be put into words: its __str__ raises)"),
    ],
)
def test_whatever_a_factory_raises_makes_its_case_invalid(name: str, kind: str, message: str) -> None:
    record = run_case(factory_case(f"support.leaving.{name}", [2, 3], "xnnpack_int8_per_channel_ptq"))

    assert record.verdict == "invalid"
    assert record.error is not None
    assert (record.error.type, record.error.message) == (kind, message)


def test_a_module_that_exits_when_it_is_imported_makes_its_case_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "leaves_on_import.py").write_text("import sys\nsys.exit()\n")
    monkeypatch.syspath_prepend(tmp_path)
    record = run_case(factory_case("leaves_on_import.Net", [2, 3], "xnnpack_int8_per_channel_ptq"))

    assert record.verdict == "invalid"


def test_a_ctrl_c_passes_where_there_are_no_workers() -> None:
    with pytest.raises(KeyboardInterrupt):
        run_case(factory_case("support.leaving.interrupt", [2, 3], "xnnpack_int8_per_channel_ptq"))


def test_in_a_worker_a_ctrl_c_is_the_cases_own(monkeypatch: pytest.MonkeyPatch) -> None:
    entered = threading.Event()
    entered.set()
    monkeypatch.setattr(isolation, "_ENTERED", entered)
    record = run_case(factory_case("support.leaving.interrupt", [2, 3], "xnnpack_int8_per_channel_ptq"))

    assert record.verdict == "invalid"


def test_a_stage_that_ends_the_interpreter_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    (case,) = shipped_cases(EXACT)
    monkeypatch.setattr(PIPELINES["fx"], "convert", lambda *_, **__: leave())
    record = run_case(case)

    assert record.verdict == "failed"
    assert record.summary.startswith("fx failed at convert: SystemExit: 0")
