"""The captures of the models that this process saw last: cases that differ only in their quantizer share one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qatrix.declare.expand import model_key
from qatrix.declare.spec import Case, ConvKind, PatternSpec
from qatrix.pipelines import Capture

# Cases of one model come one after another; a quantizer of several submodules captures each.
_KEPT: Final = 4


@dataclass(frozen=True, kw_only=True)
class Captured:
    """What a capture depends on: the float model with its weights and inputs, the part of it, and the way."""

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


class Captures:
    """Remembers the newest captures; what a case does to its program does not reach them."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Captured, Capture]] = deque(maxlen=_KEPT)

    def get(self, captured: Captured, capture: Callable[[], Capture]) -> Capture:
        """The capture as it was made before, or made now."""
        for known, made in self._kept:
            if known == captured:
                return made
        made = capture()
        self._kept.append((captured, made))
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
    )
