"""What was made of the models that this process saw last: cases that differ only in their quantizer share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from qatrix.declare.expand import model_key
from qatrix.declare.spec import CaptureMode, Case, ConvKind, PatternSpec

Made = TypeVar("Made")

# For each who captures: cases of one model come one after another, in training or not.
_KEPT: Final = 2


@dataclass(frozen=True, kw_only=True)
class Captured:
    """What a capture depends on: the float model with its weights and inputs, the part of it, and the way.

    `pipeline` is who captures, or who else makes something of the model.
    """

    pipeline: str
    # Text, in which True, 1 and 1.0 differ; the name in it may stand for another pattern in another matrix.
    model: str
    pattern: PatternSpec
    conv_kind: ConvKind | None
    seed: int
    device: str
    path: str
    training: bool
    dynamic_batch: bool
    dtype: str
    capture: CaptureMode


class Captures:
    """Remembers the newest captures; what a case does to its program does not reach them."""

    def __init__(self) -> None:
        self._kept: dict[str, deque[tuple[Captured, Any]]] = {}

    def get(self, captured: Captured, make: Callable[[], Made]) -> Made:
        """What was made before, or is made now."""
        kept = self._kept.setdefault(captured.pipeline, deque(maxlen=_KEPT))
        for known, earlier in kept:
            if known == captured:
                made: Made = earlier
                return made
        made = make()
        kept.append((captured, made))
        return made


def captured_of(case: Case, pipeline: str, *, path: str, training: bool, dynamic_batch: bool) -> Captured:
    """A part of a case's float model (path "" for the whole), as one pipeline captures it."""
    return Captured(
        pipeline=pipeline,
        model=model_key(case),
        pattern=case.pattern,
        conv_kind=case.conv_kind,
        seed=case.seed,
        device=case.device.torch,
        path=path,
        training=training,
        dynamic_batch=dynamic_batch,
        dtype=case.dtype,
        capture=case.capture,
    )
