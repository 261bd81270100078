"""A run as it might well be: what the page is looked at with, and a thousand cases to measure it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

from qatrix.expressions import Value
from qatrix.outcomes import CheckOutcome, Excerpt, Record
from qatrix.report.store import Store
from support.records import (
    make_comparison,
    make_diverged,
    make_dropped,
    make_error,
    make_expectation,
    make_failed,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)

PER_CHANNEL, PER_TENSOR = "xnnpack_int8_per_channel_qat", "xnnpack_int8_per_tensor_qat"
DERIVED, INT32 = "conv_bn_derived_bias_qat", "conv_bn_int32_weight_qat"


def demo_records() -> list[Record]:
    """About a hundred cases of the declared rows: most exact, some skipped, known and new differences."""
    return [*_fused(), *_transposed(), *_quantizers(), *_models()]


def many_records(count: int) -> list[Record]:
    """`count` cases, the demo's over and over under new names."""
    demo = demo_records()
    return [
        replace(demo[place % len(demo)], case_id=f"{demo[place % len(demo)].case_id},stride={place // len(demo)}")
        for place in range(count)
    ]


EXCERPT = Excerpt(
    axis="pattern",
    name="conv_bn_relu",
    file="matrix/patterns.yaml",
    line=7,
    text="conv_bn_relu:\n  about: <b>bold</b> & more",
)


def write_store(
    path: Path, records: list[Record], *, unfinished: int = 0, scripts: Mapping[str, str] | None = None
) -> Path:
    """A store of the records, and of `unfinished` cases more, the first of which had started."""
    left = [f"conv_bn/conv_bn/conv=conv,dim=3,left={place}" for place in range(unfinished)]
    warnings = ("matrix/suites/conv_bn.yaml:31:7: this exclude matches no case any more; remove it",)
    dropped = (
        make_dropped(),
        make_dropped(kind="merged", because="pattern inplace_add_relu does not take bias", suite="models", count=4),
    )
    declared, finished = len(records) + unfinished, not unfinished
    run = make_run(declared=declared, finished=finished, dropped=dropped, warnings=warnings)
    with Store.create(path, run) as store:
        store.plan([*(record.case_id for record in records), *left])
        for record in records:
            store.finish(record)
        for case_id in left[:1]:
            store.start(case_id)
        store.keep_scripts(scripts or {})
        store.keep_excerpts([EXCERPT])
        store.end(run)
    return path


def _named(suite: str, axes: dict[str, Value]) -> tuple[str, dict[str, Value]]:
    rest = ",".join(f"{name}={str(value).lower()}" for name, value in axes.items() if name != "pattern")
    return f"{suite}/{axes['pattern']}/{rest}", axes


def _fused() -> Iterator[Record]:
    patterns = ("conv", "conv_relu", "conv_bn", "conv_bn_relu")
    for pattern, dim, bias, quantizer in product(patterns, (1, 2), (True, False), (PER_CHANNEL, PER_TENSOR)):
        axes: dict[str, Value] = {"pattern": pattern, "conv": "conv", "dim": dim, "bias": bias, "quantizer": quantizer}
        case_id, axes = _named("conv_bn", {**axes, "device": "cpu"})
        yield make_record(case_id, axes=axes, seconds=0.31 + 0.07 * dim)
    for pattern, quantizer in product(("conv_bn", "conv_bn_relu"), (PER_CHANNEL, PER_TENSOR)):
        axes = {"pattern": pattern, "conv": "conv", "dim": 2, "bias": True, "quantizer": quantizer, "device": "cuda"}
        case_id, axes = _named("conv_bn", axes)
        yield make_skipped(case_id, axes=axes)


def _transposed() -> Iterator[Record]:
    for pattern, dim, quantizer in product(("conv_bn", "conv_bn_relu"), (1, 2), (PER_CHANNEL, PER_TENSOR)):
        axes: dict[str, Value] = {"pattern": pattern, "conv": "conv_transpose", "dim": dim, "bias": True}
        case_id, axes = _named("conv_bn", {**axes, "quantizer": quantizer, "device": "cpu"})
        known = (pattern, dim) != ("conv_bn_relu", 1)
        record = make_failed(case_id, axes=axes)
        yield record if known else _news(record)


def _news(record: Record) -> Record:
    because = "the expectation says failed, because FX has no QAT module for it; the case is exact now: remove it"
    return make_record(
        record.case_id, axes=record.axes, expected=make_expectation(), unexpected=True, unexpected_because=because
    )


def _quantizers() -> Iterator[Record]:
    because = "FX graph mode cannot derive a bias's quantization parameters"
    for pattern, dim in product(("conv_bn", "conv_bn_relu"), (1, 2)):
        case_id, axes = _named("custom_specs", {"pattern": pattern, "dim": dim, "quantizer": DERIVED, "device": "cpu"})
        fx = make_outcome("fx", status="inexpressible", reason=because, sqnr_db=None, stages=())
        pipelines = {"pt2e": make_outcome("pt2e", notes=("bias scale = input scale x weight scale",)), "fx": fx}
        yield make_record(
            case_id,
            suite="custom_specs",
            axes=axes,
            verdict="checked",
            summary="checked",
            comparisons=(),
            pipelines=pipelines,
        )
    case_id, axes = _named("custom_specs", {"pattern": "conv_bn", "dim": 2, "quantizer": INT32, "device": "cpu"})
    message = "dequantize_per_channel of conv.weight: expected axis 0\n  got axis 1\n  node: %dequantize_per_channel"
    failed = CheckOutcome(name="weight_keeps_custom_dtype", pipeline="pt2e", status="failed", message=message)
    yield make_record(
        case_id,
        suite="custom_specs",
        axes=axes,
        verdict="check_failed",
        summary="weight_keeps_custom_dtype failed on pt2e",
        checks=(failed, CheckOutcome(name="deterministic_eval", pipeline="pt2e", status="passed")),
        unexpected=True,
        unexpected_because="no entry under `expected` covers this case",
    )


def _models() -> Iterator[Record]:
    for pattern, quantizer in product(("resnet18", "inplace_add_relu", "conv_bn_hardtanh"), (PER_CHANNEL, PER_TENSOR)):
        case_id, axes = _named("models", {"pattern": pattern, "quantizer": quantizer, "device": "cpu"})
        close = make_comparison("convert", status="close", max_abs=4.77e-7, max_rel=2.1e-6, max_steps=2.3e-5)
        exact = pattern != "resnet18"
        comparisons = (make_comparison("prepare"), make_comparison("convert") if exact else close)
        verdict = "exact" if exact else "close"
        yield make_record(
            case_id, suite="models", axes=axes, verdict=verdict, summary=verdict, comparisons=comparisons, seconds=12.84
        )
    case_id, axes = _named("models", {"pattern": "mobilenet_v2", "quantizer": PER_CHANNEL, "device": "cpu"})
    yield make_diverged(case_id, axes=axes, seconds=21.07)
    case_id, axes = _named("models", {"pattern": "conv_padding_same", "quantizer": PER_TENSOR, "device": "cpu"})
    nothing = make_outcome("pt2e", sqnr_db=None, fake_quantizes=0, quantize_ops=0, dequantize_ops=0, batch_norms_left=1)
    yield make_record(
        case_id,
        suite="models",
        axes=axes,
        verdict="unquantized",
        summary="pt2e quantized nothing",
        pipelines={"pt2e": nothing, "fx": make_outcome("fx")},
        expected=make_expectation("unquantized", because="PT2E does not annotate padding='same'", link=None),
    )
    case_id, axes = _named("models", {"pattern": "mixing_qat_ptq", "quantizer": PER_CHANNEL, "device": "cpu"})
    error = make_error("Process was killed by signal 11 (SIGSEGV)", type="qatrix.Crash", traceback="")
    yield make_record(
        case_id,
        suite="models",
        axes=axes,
        verdict="crashed",
        summary="crashed with signal 11 (SIGSEGV)",
        unexpected=True,
        unexpected_because="no entry under `expected` covers this case",
        error=error,
        comparisons=(),
        checks=(),
        pipelines={},
    )
