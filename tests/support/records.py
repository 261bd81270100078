"""Builders of runs and records for tests: a realistic run, and single facts to put together."""

from __future__ import annotations

from typing import Any

from qatrix.claims import Expectation, Verdict
from qatrix.errors import Source
from qatrix.outcomes import (
    CheckOutcome,
    Comparison,
    Dropped,
    Environment,
    ErrorReport,
    PipelineOutcome,
    Record,
    Run,
    StageTime,
)

SUITE = Source(file="matrix/suites/conv_bn.yaml", line=4, column=3)
EXPECTED = Source(file="matrix/expected/fx_conv_transpose.yaml", line=2, column=5)
ENVIRONMENT = Environment(
    python="3.11.7",
    platform="Linux-6.1-x86_64",
    processor="AMD EPYC 7B13",
    packages={"torch": "2.15.0", "torchao": "0.18.0", "torchvision": "0.30.0", "onnx": None},
    devices={"cpu": "AMD EPYC 7B13, 2 cores", "cuda": "not here: torch.cuda.is_available() is false"},
    threads=1,
)
SKIP = "no CUDA device: torch.cuda.is_available() is false"


def make_run(**changes: Any) -> Run:
    """A finished run of no cases; `changes` replace fields."""
    fields: dict[str, Any] = {
        "id": "2026-08-27T101500Z",
        "started": "2026-08-27T10:15:00+00:00",
        "seconds": 63.4,
        "command": ("qatrix", "run", "matrix/", "--workers", "2"),
        "environment": ENVIRONMENT,
        "declared": 0,
        "finished": True,
    }
    return Run(**{**fields, **changes})


def make_record(case_id: str = "conv_bn/conv_bn/conv=conv,dim=2", **changes: Any) -> Record:
    """An exact case of suite conv_bn that ran both pipelines; `changes` replace fields."""
    fields: dict[str, Any] = {
        "case_id": case_id,
        "suite": "conv_bn",
        "axes": {"pattern": "conv_bn", "conv": "conv", "dim": 2, "quantizer": "xnnpack_qat", "device": "cpu"},
        "verdict": "exact",
        "summary": "exact",
        "comparisons": (make_comparison("prepare"), make_comparison("convert")),
        "checks": (CheckOutcome(name="fused_qat_graph", pipeline="pt2e", status="passed"),),
        "pipelines": {"pt2e": make_outcome("pt2e"), "fx": make_outcome("fx")},
        "seed": 1234567,
        "seconds": 0.41,
        "source": SUITE,
    }
    return Record(**{**fields, **changes})


def make_comparison(at: str = "convert", **changes: Any) -> Comparison:
    """pt2e and fx, equal to the bit."""
    fields: dict[str, Any] = {
        "at": at,
        "left": "pt2e",
        "right": "fx",
        "status": "exact",
        "max_abs": 0.0,
        "max_rel": 0.0,
        "mismatched": 0,
        "total": 27,
        "max_steps": 0.0 if at == "convert" else None,
        "rtol": 1.3e-6,
        "atol": 1e-5,
    }
    return Comparison(**{**fields, **changes})


def make_outcome(pipeline: str = "pt2e", **changes: Any) -> PipelineOutcome:
    """A pipeline that quantized a convolution without trouble."""
    fields: dict[str, Any] = {
        "pipeline": pipeline,
        "status": "ok",
        "sqnr_db": 36.4,
        "fake_quantizes": 3,
        "quantize_ops": 2,
        "dequantize_ops": 3,
        "batch_norms_left": 0,
        "stages": tuple(StageTime(name=name, seconds=0.03) for name in ("build", "capture", "prepare", "convert")),
    }
    return PipelineOutcome(**{**fields, **changes})


def make_error(message: str = "QAT is not supported for ConvTranspose2d", **changes: Any) -> ErrorReport:
    """An exception with a short traceback."""
    fields: dict[str, Any] = {
        "type": "builtins.NotImplementedError",
        "message": message,
        "traceback": f'Traceback (most recent call last):\n  File "fx.py", line 1\nNotImplementedError: {message}\n',
    }
    return ErrorReport(**{**fields, **changes})


def make_expectation(verdict: Verdict = "failed", **changes: Any) -> Expectation:
    """FX cannot prepare transposed convolutions."""
    fields: dict[str, Any] = {
        "cases": "conv_bn/*/conv=conv_transpose,*",
        "verdict": verdict,
        "because": "FX graph mode has no QAT module for ConvTranspose + BatchNorm",
        "pipeline": "fx",
        "stage": "prepare",
        "link": "https://example.org/known/fx-conv-transpose",
        "source": EXPECTED,
    }
    return Expectation(**{**fields, **changes})


def make_failed(case_id: str = "conv_bn/conv_bn/conv=conv_transpose,dim=2", **changes: Any) -> Record:
    """fx failed at prepare, as expected."""
    fx = make_outcome(
        "fx",
        status="failed",
        failed_stage="prepare",
        error=make_error(),
        sqnr_db=None,
        quantize_ops=None,
        dequantize_ops=None,
        batch_norms_left=None,
        fake_quantizes=None,
        stages=(StageTime(name="build", seconds=0.01),),
    )
    fields: dict[str, Any] = {
        "verdict": "failed",
        "summary": "fx failed at prepare",
        "axes": {"pattern": "conv_bn", "conv": "conv_transpose", "dim": 2, "quantizer": "xnnpack_qat", "device": "cpu"},
        "expected": make_expectation(),
        "comparisons": (),
        "pipelines": {"pt2e": make_outcome("pt2e"), "fx": fx},
    }
    return make_record(case_id, **{**fields, **changes})


def make_skipped(case_id: str = "conv_bn/conv_bn/conv=conv,dim=2,device=cuda", **changes: Any) -> Record:
    """A case for a device that is not here."""
    fields: dict[str, Any] = {
        "verdict": "skipped",
        "summary": "skipped",
        "reason": SKIP,
        "axes": {"pattern": "conv_bn", "conv": "conv", "dim": 2, "quantizer": "xnnpack_qat", "device": "cuda"},
        "comparisons": (),
        "checks": (),
        "pipelines": {},
        "seconds": 0.0,
    }
    return make_record(case_id, **{**fields, **changes})


def make_diverged(case_id: str = "models/mobilenet_v2", **changes: Any) -> Record:
    """A model on which the pipelines differ, which nobody expected."""
    fields: dict[str, Any] = {
        "verdict": "diverged",
        "suite": "models",
        "axes": {"pattern": "mobilenet_v2", "quantizer": "xnnpack_qat", "device": "cpu"},
        "summary": "diverged at convert: 3 quantization steps apart",
        "unexpected": True,
        "unexpected_because": "no entry under `expected` covers this case",
        "comparisons": (
            make_comparison("prepare"),
            make_comparison("convert", status="diverged", max_abs=0.0831, max_rel=0.21, mismatched=412, max_steps=3.0),
        ),
    }
    return make_record(case_id, **{**fields, **changes})


def make_dropped(**changes: Any) -> Dropped:
    """Points that an exclude left out."""
    fields: dict[str, Any] = {
        "kind": "excluded",
        "suite": "conv_bn",
        "because": "a plain transposed convolution is not fused",
        "count": 8,
        "source": SUITE,
    }
    return Dropped(**{**fields, **changes})


# Everything that must not break a report, in one text.
HOSTILE = (
    "<script>alert('\"')</script> & ]]> </pre></details> `ticks` ``` | *bold* [x](javascript:alert(1)) @all #1\n"
    "\u202ereversed\u202c \x00\x07\x1b[31m \ud800 \ufffe 🙂 é " + "long " * 2000
)


def make_hostile(text: str = HOSTILE) -> Record:
    """A failed, unexpected case in which every text is hostile and every number is not one."""
    nan, inf = float("nan"), float("inf")
    error = make_error(text, type=text, traceback=text)
    outcome = make_outcome(
        "pt2e", status="failed", failed_stage=text, error=error, sqnr_db=-inf, reason=text, notes=(text,)
    )
    comparison = make_comparison("convert", status="diverged", max_abs=nan, max_rel=inf, max_steps=nan, message=text)
    return make_record(
        text.replace("\ud800", ""),
        suite="<b>suite</b>",
        axes={"pattern": text, "eps": inf, "list": (1, "<i>", None)},
        verdict="failed",
        summary=text,
        unexpected=True,
        unexpected_because=text,
        reason=text,
        error=error,
        comparisons=(comparison,),
        checks=(CheckOutcome(name=text, pipeline=text, status="failed", message=text),),
        pipelines={"pt2e": outcome, "third": make_outcome("third", sqnr_db=nan)},
        seconds=nan,
    )
