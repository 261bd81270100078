"""Builders of what the record has of runtimes, and a dozen cases on them."""

from __future__ import annotations

from typing import Any

from qatrix.diagnoses import Cause
from qatrix.lowerings import Departure, FloatOp, Kernel, Lowering, Ran
from qatrix.outcomes import CheckOutcome, Comparison, PipelineOutcome, Record, StageTime
from support.records import HOSTILE, make_comparison, make_error, make_outcome, make_record

STAGES = tuple(
    StageTime(name=name, seconds=0.02 if name != "lower" else 1.5)
    for name in ("build", "capture", "prepare", "forward", "convert", "quantized_forward", "lower", "lowered_forward")
)
CLAMP = Cause(
    name="clamp_of_qnnpack",
    kind="defect",
    sentence="fx's clamp is wrong",
    pipeline="fx",
    layer="relu",
    evidence=("relu6 alone gives 95 steps on the same input",),
)
DEPARTURE = Departure(
    layer="relu",
    op="relu6",
    kernel="quantized::relu6",
    max_abs=5.9,
    max_steps=95.0,
    sentence="the runtime first leaves its reference at relu, which quantized::relu6 computes: up to 95 steps",
)


def make_ran(**changes: Any) -> Ran:
    """A convolution and a linear layer in integers."""
    fields: dict[str, Any] = {
        "kernels": (
            Kernel(name="xnn_qs8_conv", arithmetic="integers", layers=("conv",)),
            Kernel(name="xnn_qs8_linear", arithmetic="integers", count=2, layers=("fc1", "fc2")),
            Kernel(name="quantize", arithmetic="none"),
        ),
        "delegated": 9,
        "left_over": 1,
        "partitions": 1,
        "size_bytes": 12_345,
    }
    return Ran(**{**fields, **changes})


def make_lowering(runtime: str = "executorch", **changes: Any) -> Lowering:
    """A model that ExecuTorch runs in integers."""
    fields: dict[str, Any] = {
        "runtime": runtime,
        "options": {"engine": "qnnpack"} if runtime == "native" else {"partitioner": "xnnpack"},
        "version": None if runtime == "native" else "1.5.1",
        "sqnr_db": 36.2,
        "ran": make_ran() if runtime != "native" else make_ran(delegated=None, left_over=None, partitions=None),
    }
    return Lowering(**{**fields, **changes})


def make_lowered(pipeline: str = "pt2e", *, stages: Any = STAGES, **changes: Any) -> PipelineOutcome:
    """A pipeline whose converted model ran in its runtime."""
    lowering = changes.pop("lowering", None) or make_lowering("executorch" if pipeline == "pt2e" else "native")
    return make_outcome(pipeline, lowering=lowering, stages=stages, **changes)


def in_float(*layers: str) -> Ran:
    """One convolution in integers, and these layers in float."""
    ops = tuple(FloatOp(op="aten.linear", layer=layer, because="no kernel takes it") for layer in layers)
    kernels = (
        Kernel(name="xnn_qs8_conv", arithmetic="integers", layers=("conv",)),
        Kernel(name="xnn_f32_linear", arithmetic="float", count=len(layers), layers=layers),
    )
    return make_ran(kernels=kernels, float_ops=ops, delegated=4, left_over=3, partitions=2)


def off(pipeline: str, runtime: str, steps: float, **changes: Any) -> Comparison:
    """A runtime beside its own reference."""
    fields: dict[str, Any] = {
        "left": pipeline,
        "right": f"{pipeline} on {runtime}",
        "status": "exact" if not steps else "close" if steps <= 1 else "diverged",
        "max_abs": steps * 0.0625,
        "max_steps": steps,
        "mismatched": 0 if steps <= 1 else 20,
    }
    return make_comparison("lowered", **{**fields, **changes})


def apart(steps: float, *sides: str, **changes: Any) -> Comparison:
    """Two runtimes beside one another."""
    left, right = sides or ("pt2e on executorch", "fx on native")
    close: dict[str, Any] = {"status": "close" if steps <= 2 else "diverged"}
    return off("", "", steps, **{**close, "left": left, "right": right, **changes})


def make_deployed(case_id: str = "deployed/conv_bn/dim=2,runtime=xnnpack", **changes: Any) -> Record:
    """A case that ran on ExecuTorch and on FX's own kernels, one step off each."""
    axes = {"pattern": "conv_bn", "dim": 2, "quantizer": "xnnpack_ptq", "device": "cpu", "runtime": "xnnpack"}
    fields: dict[str, Any] = {
        "suite": "deployed",
        "axes": {**axes, **changes.pop("axes", {})},
        "verdict": "close",
        "summary": "close",
        "pipelines": {"pt2e": make_lowered("pt2e"), "fx": make_lowered("fx")},
        "comparisons": (
            make_comparison("convert"),
            off("pt2e", "executorch", 1.0),
            off("fx", "native", 0.0),
            apart(1.0),
        ),
    }
    return make_record(case_id, **{**fields, **changes})


def make_clamped(case_id: str = "deployed/relu6/runtime=xnnpack", **changes: Any) -> Record:
    """A case that shows qnnpack's clamp, 95 steps off, which the reference does not."""
    native = make_lowering("native", sqnr_db=-1.3, first=DEPARTURE, causes=(CLAMP,))
    checks = (CheckOutcome(name="runs_in_integers", pipeline="pt2e", status="passed"),)
    fields: dict[str, Any] = {
        "axes": {"pattern": "relu6", **changes.pop("axes", {})},
        "verdict": "diverged",
        "summary": "fx on native differs from its reference by 5.94 (95 quantization steps)",
        "unexpected": True,
        "unexpected_because": "no entry under `expected` covers this case",
        "pipelines": {"pt2e": make_lowered("pt2e"), "fx": make_lowered("fx", lowering=native, sqnr_db=39.1)},
        "comparisons": (off("pt2e", "executorch", 0.0), off("fx", "native", 95.0), apart(95.0)),
        "checks": checks,
    }
    return make_deployed(case_id, **{**fields, **changes})


def make_partly(case_id: str = "deployed/mlp/runtime=xnnpack", **changes: Any) -> Record:
    """A case of which a runtime computes a layer in float."""
    partly = make_lowered("pt2e", lowering=make_lowering(ran=in_float("fc"), notes=("it was cut in two",)))
    message = "fc runs in float: no kernel takes it"
    fields: dict[str, Any] = {
        "axes": {"pattern": "mlp", **changes.pop("axes", {})},
        "pipelines": {"pt2e": partly},
        "comparisons": (off("pt2e", "executorch", 0.5),),
        "checks": (CheckOutcome(name="runs_in_integers", pipeline="pt2e", status="failed", message=message),),
        "verdict": "check_failed",
        "summary": "runs_in_integers fails on pt2e",
    }
    return make_deployed(case_id, **{**fields, **changes})


def make_unlowered(case_id: str = "deployed/conv3d/runtime=xnnpack", **changes: Any) -> Record:
    """A case that ExecuTorch does not lower."""
    error = make_error("Missing out variants: quantized_decomposed::dequantize_per_channel", type="RuntimeError")
    failed = make_outcome("pt2e", status="failed", failed_stage="lower", error=error, stages=STAGES[:-2])
    fields: dict[str, Any] = {
        "axes": {"pattern": "conv3d", **changes.pop("axes", {})},
        "pipelines": {"pt2e": failed, "fx": make_lowered("fx")},
        "comparisons": (make_comparison("convert"), off("fx", "native", 0.0)),
        "verdict": "failed",
        "summary": "pt2e failed at lower",
    }
    return make_deployed(case_id, **{**fields, **changes})


def make_reference(case_id: str = "deployed/conv_bn/dim=2,runtime=saved", **changes: Any) -> Record:
    """A case whose converted program was saved and loaded."""
    saved = make_lowering("exported", options={}, version=None, sqnr_db=36.4, ran=make_ran(kernels=()))
    fields: dict[str, Any] = {
        "axes": {"runtime": "saved", **changes.pop("axes", {})},
        "pipelines": {"pt2e": make_lowered("pt2e", lowering=saved), "fx": make_outcome("fx")},
        "comparisons": (make_comparison("convert"), off("pt2e", "exported", 0.0)),
        "verdict": "exact",
        "summary": "exact",
    }
    return make_deployed(case_id, **{**fields, **changes})


def make_absent(case_id: str = "deployed/conv_bn/dim=2,runtime=onnx", **changes: Any) -> Record:
    """A case whose runtime is not installed."""
    reason = "ONNX Runtime is not installed: pip install 'qatrix[onnx]'"
    fields: dict[str, Any] = {
        "axes": {"runtime": "onnx", **changes.pop("axes", {})},
        "pipelines": {"pt2e": make_outcome("pt2e", status="unavailable", reason=reason, sqnr_db=None)},
        "comparisons": (),
        "verdict": "unavailable",
        "summary": "unavailable",
        "reason": reason,
    }
    return make_deployed(case_id, **{**fields, **changes})


def make_hostile_runtime(case_id: str = "a") -> Record:
    """A case whose runtime says nothing that is not hostile, and measures nothing that is a number."""
    nan, inf, text = float("nan"), float("inf"), HOSTILE
    lowering = Lowering(
        runtime=text,
        options={text: text},
        version=text,
        sqnr_db=nan,
        variation_db=-inf,
        ran=Ran(
            kernels=(Kernel(name=text, arithmetic="float", layers=(text,)),),
            float_ops=(FloatOp(op=text, layer=text, because=text),),
            notes=(text,),
        ),
        first=Departure(layer=text, op=text, kernel=text, max_abs=inf, max_steps=nan, sentence=text),
        causes=(Cause(name=text, kind="defect", sentence=text, evidence=(text,)),),
        notes=(text,),
    )
    return make_deployed(
        case_id,
        axes={"pattern": text, "quantizer": text, "runtime": text},
        pipelines={"pt2e": make_lowered("pt2e", lowering=lowering)},
        comparisons=(off("pt2e", text, nan, status="diverged"),),
        verdict="diverged",
        summary=text,
    )


def deployed_records() -> list[Record]:
    """A dozen cases: two quantizers, three runtimes, and every state that a cell of the support table has."""
    qat = {"quantizer": "xnnpack_qat"}
    return [
        make_deployed(),
        make_deployed("deployed/conv_bn/dim=1,runtime=xnnpack", axes={"dim": 1}),
        make_deployed("deployed/conv_bn/dim=2,quantizer=xnnpack_qat,runtime=xnnpack", axes=qat),
        make_clamped(),
        make_clamped("deployed/relu6/quantizer=xnnpack_qat,runtime=xnnpack", axes=qat),
        make_partly(),
        make_unlowered(),
        make_reference(),
        make_reference("deployed/relu6/runtime=saved", axes={"pattern": "relu6"}),
        make_absent(),
        make_record("deployed/conv_bn/dim=2", suite="deployed"),
        make_record("conv_bn/conv_bn/dim=1"),
    ]
