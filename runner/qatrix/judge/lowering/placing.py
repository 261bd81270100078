"""Where an op ran and where its values went."""

from __future__ import annotations

from typing import Final

from torch import Tensor

from qatrix.diagnoses import Cause
from qatrix.judge.lowering.facts import DepartureFacts, near
from qatrix.judge.lowering.findings import counted, found
from qatrix.judge.wording import runtimes as words
from qatrix.lowerings import FloatOp

# Without channels and an axis behind them there is no other order to be in.
_LEAST_AXES: Final = 3
# What the roundings of a few ops come to, in steps, and the part of all values that they leave within one.
_ROUNDED: Final = 4
_NEARLY_ALL: Final = 0.9
_QNNPACK_CLAMPS: Final = ("hardtanh", "relu6", "clamp")
_QCLAMP: Final = "aten/src/ATen/native/quantized/cpu/qclamp.cpp, qnnpack_clamp"


def memory_order_lost(facts: DepartureFacts) -> Cause | None:
    """The values are the right ones in the wrong places: channels-last memory that is read as contiguous memory."""
    reference, measured = facts.reference, facts.measured
    if reference.shape != measured.shape or reference.ndim < _LEAST_AXES:
        return None
    moved = reference.movedim(1, -1).reshape(reference.shape)
    right = near(measured, reference, facts.scale, steps=1)
    if bool(right.all()) or not _is_same(measured, moved, facts.scale) or _is_same(measured, reference, facts.scale):
        return None
    name = f"{facts.departure.kernel or ''} {facts.departure.op}".lower()
    is_clamp = "qnnpack" in f"{facts.runtime} {facts.options.get('engine', '')} {name}" and any(
        clamp in name for clamp in _QNNPACK_CLAMPS
    )
    op = words.OP_ON_RUNTIME(op=facts.departure.kernel or facts.departure.op, runtime=facts.runtime)
    return found(
        facts,
        "memory_order_lost",
        "defect",
        words.MEMORY_ORDER_LOST(op=words.QNNPACK_CLAMP() if is_clamp else op),
        (
            words.OFF_BY_MORE(tolerance=words.ONE_STEP(), values=counted(~right)),
            words.REORDERED_EQUAL(),
            *([words.FORMAT_NOT_KEPT(source=_QCLAMP)] if is_clamp else []),
            words.RANGES_OF_VALUES(measured=_range(measured), reference=_range(reference)),
        ),
    )


def fell_back_to_float(facts: DepartureFacts) -> Cause | None:
    """The op runs in floating point, by the runtime's own account."""
    layer = facts.departure.layer
    ops = [] if facts.ran is None else [item for item in facts.ran.float_ops if item.layer == layer]
    if not ops:
        return None
    return found(
        facts,
        "fell_back_to_float",
        "by_design",
        words.IN_FLOAT(runtime=facts.runtime, layer=layer),
        (*(_in_float(facts.runtime, item) for item in ops), *_figures(facts)),
    )


def _is_same(left: Tensor, right: Tensor, scale: float | None) -> bool:
    """Whether values are the same but for rounding: nearly all within a step, and none far off."""
    close, all_near = near(left, right, scale, steps=1), near(left, right, scale, steps=_ROUNDED)
    return bool(all_near.all()) and int(close.sum()) >= _NEARLY_ALL * close.numel()


def _in_float(runtime: str, item: FloatOp) -> str:
    if not item.because:
        return words.RUNS_IN_FLOAT(runtime=runtime, op=item.op)
    return words.RUNS_IN_FLOAT_BECAUSE(runtime=runtime, op=item.op, reason=item.because)


def _figures(facts: DepartureFacts) -> tuple[str, ...]:
    """How many values are off, and the ranges of both sides; nothing where these have other shapes."""
    reference, measured = facts.reference, facts.measured
    if reference.shape != measured.shape or not reference.numel():
        return ()
    off = counted(~near(measured, reference, facts.scale, steps=1))
    return (
        words.ARE_OFF(values=off) if facts.scale is None else words.ARE_OFF_A_STEP(values=off),
        words.RANGES_OF_VALUES(measured=_range(measured), reference=_range(reference)),
    )


def _range(values: Tensor) -> str:
    return words.FROM_TO(low=float(values.min()), high=float(values.max()))
