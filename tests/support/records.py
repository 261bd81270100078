"""Builders of runs and records, so that a test spells out only what it is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qatrix.claims import Expectation
from qatrix.errors import Source
from qatrix.expressions import Value
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

SUITE_SOURCE = Source(file="matrix/suites/conv_bn.yaml", line=12, column=3)
TRACEBACK = """Traceback (most recent call last):
  File "qatrix/execute/stages.py", line 61, in run_stages
    program = step(program)
  File "torch/ao/quantization/quantize_fx.py", line 456, in prepare_qat_fx
    return _prepare_fx(model, qconfig_mapping, True, example_inputs)
ValueError: did not find fuser method for: (ConvTranspose2d, BatchNorm2d)
"""


def make_source(line: int = 12, **fields: Any) -> Source:
    """A place in a suite's file."""
    return Source(**{"file": SUITE_SOURCE.file, "line": line, "column": 3} | fields)


def make_error(message: str = "did not find fuser method", **fields: Any) -> ErrorReport:
    """An exception with a traceback of a few lines."""
    return ErrorReport(**{"type": "ValueError", "message": message, "traceback": TRACEBACK} | fields)


def make_stages(**seconds: float) -> tuple[StageTime, ...]:
    """All six stages in order; the times of some may be given."""
    times = {"build": 0.01, "capture": 0.1, "prepare": 0.14, "forward": 0.002, "convert": 0.09}
    times |= {"quantized_forward": 0.003} | seconds
    return tuple(StageTime(name=name, seconds=value) for name, value in times.items())


def make_pipeline(pipeline: str = "pt2e", **fields: Any) -> PipelineOutcome:
    """A pipeline that quantized a convolution and has nothing to complain about."""
    found: dict[str, Any] = {
        "pipeline": pipeline,
        "status": "ok",
        "sqnr_db": 36.4,
        "fake_quantizes": 3,
        "quantize_ops": 2,
        "dequantize_ops": 3,
        "batch_norms_left": 0,
        "stages": make_stages(),
    }
    return PipelineOutcome(**found | fields)


def make_failed_pipeline(pipeline: str = "fx", stage: str = "prepare", **fields: Any) -> PipelineOutcome:
    """A pipeline that raised at a stage."""
    found: dict[str, Any] = {"pipeline": pipeline, "status": "failed", "failed_stage": stage, "error": make_error()}
    return PipelineOutcome(**found | fields)


def make_comparison(at: str = "prepare", status: str = "exact", **fields: Any) -> Comparison:
    """Two outputs that are equal to the bit, or whatever the fields say."""
    found: dict[str, Any] = {
        "at": at,
        "left": "pt2e",
        "right": "fx",
        "status": status,
        "max_abs": 0.0,
        "max_rel": 0.0,
        "mismatched": 0,
        "total": 27,
        "max_steps": 0.0,
        "rtol": 1.3e-6,
        "atol": 1e-5,
    }
    return Comparison(**found | fields)


def make_check(name: str = "fused_qat_graph", pipeline: str = "pt2e", **fields: Any) -> CheckOutcome:
    """A check that passed."""
    return CheckOutcome(**{"name": name, "pipeline": pipeline, "status": "passed"} | fields)


def make_expectation(verdict: str = "diverged", **fields: Any) -> Expectation:
    """A known difference of every case."""
    found: dict[str, Any] = {
        "cases": "*",
        "verdict": verdict,
        "because": "FX graph mode leaves ConvTranspose and BatchNorm unfused",
        "link": "https://github.com/pytorch/pytorch/issues/1",
        "source": make_source(3, file="matrix/expected/fx_conv_transpose.yaml"),
    }
    return Expectation(**found | fields)


def make_record(case_id: str = "conv_bn_fusion/conv_bn/dim=2,device=cpu", **fields: Any) -> Record:
    """The record of a case that both pipelines agree on; suite and axes are read off the id."""
    suite, pattern, values = (*case_id.split("/", 2), "", "")[:3]
    found: dict[str, Any] = {
        "case_id": case_id,
        "suite": suite,
        "axes": {"pattern": pattern} | _axes(values),
        "verdict": "exact",
        "summary": "pt2e and fx agree to the bit",
        "comparisons": (make_comparison("prepare"), make_comparison("convert")),
        "checks": (make_check(),),
        "pipelines": {"pt2e": make_pipeline("pt2e"), "fx": make_pipeline("fx", sqnr_db=36.1)},
        "seed": 1234567890,
        "seconds": 0.36,
        "source": make_source(),
    }
    return Record(**found | fields)


def _axes(values: str) -> Mapping[str, Value]:
    pairs = (part.partition("=")[::2] for part in values.split(",") if "=" in part)
    return {axis: int(value) if value.isdecimal() else value for axis, value in pairs}


def make_environment(**fields: Any) -> Environment:
    """An environment with torch and torchao and without CUDA."""
    found: dict[str, Any] = {
        "python": "3.11.9",
        "platform": "Linux-6.8.0-x86_64-with-glibc2.36",
        "processor": "AMD EPYC 7B13",
        "packages": {"torch": "2.15.0", "torchao": "0.18.0", "torchvision": "0.30.0"},
        "devices": {"cpu": "2 cores"},
        "threads": 1,
    }
    return Environment(**found | fields)


def make_dropped(**fields: Any) -> Dropped:
    """Points that an `exclude` left out."""
    found: dict[str, Any] = {
        "kind": "excluded",
        "suite": "conv_bn_fusion",
        "because": "the same model as another point",
        "count": 2,
        "source": make_source(20),
    }
    return Dropped(**found | fields)


def make_run(declared: int = 1, **fields: Any) -> Run:
    """A finished run of so many cases."""
    found: dict[str, Any] = {
        "id": "20260801-120000-8f3a",
        "started": "2026-08-01T12:00:00+00:00",
        "seconds": 42.5,
        "command": ("qatrix", "run"),
        "environment": make_environment(),
        "declared": declared,
        "finished": True,
    }
    return Run(**found | fields)
