"""The axes of training and of lifecycles: their values, and where they change nothing."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Final

from qatrix.declare.expand.names import idle_axes, why_no_lifecycle
from qatrix.declare.language import nearest
from qatrix.declare.schema import Cursor
from qatrix.declare.spec import TRAINING_AXES, TRAINING_LIFECYCLES, BatchNormState, ObserverState, QuantizerSpec
from qatrix.errors import Problem
from qatrix.expressions import Value

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "observer_state": typing.get_args(ObserverState),
    "batch_norm": typing.get_args(BatchNormState),
}


def value_faults(axis: str, value: Value, at: Cursor) -> Iterator[Problem]:
    """What is wrong with a value of a training axis."""
    if axis == "train_steps":
        if type(value) is not int or value < 0:
            yield at.problem(f"train_steps is {at.found()}", expected="a whole number, 0 or more")
    elif value not in STATES[axis]:
        expected = " or ".join(STATES[axis])
        hint = nearest(value, STATES[axis]) if isinstance(value, str) else None
        yield at.problem(f"{axis} is {at.found()}", expected=expected, hint=hint)


def idle_faults(
    axes: Mapping[str, tuple[Value, ...]], top: Cursor, quantizers: Mapping[str, QuantizerSpec], *, spelled_out: bool
) -> Iterator[Problem]:
    """The training axes that no case takes; of a product that is `spelled_out`, those that one case does not take."""
    names = [str(name) for name in axes.get("quantizer", ())]
    if not names or any(name not in quantizers for name in names):
        # Whether a broken quantizer trains is not known.
        return
    for axis in (name for name in TRAINING_AXES if name in axes):
        idle = [name for name in names if axis in idle_axes(quantizers[name], 1)]
        if idle and (spelled_out or len(idle) == len(names)):
            message = f"quantizer '{idle[0]}' does not train, so that '{axis}' changes nothing"
            yield top.key(axis).problem(message, expected="a quantizer of mode qat, without phases")
            continue
        steps = axes.get("train_steps", (0,))
        still = [count for count in steps if axis in idle_axes(quantizers[names[0]], count)]
        if not idle and still and (spelled_out or len(still) == len(steps)):
            message = f"'{axis}' changes nothing where no training step is made"
            yield top.key(axis).problem(message, expected="train_steps: 1 or more")


def lifecycle_faults(
    axes: Mapping[str, tuple[Value, ...]], top: Cursor, quantizers: Mapping[str, QuantizerSpec]
) -> Iterator[Problem]:
    """The lifecycles that no case of a product takes; where some do not, those cases are skipped with the reason."""
    names = [str(name) for name in axes.get("quantizer", ())]
    if not names or any(name not in quantizers for name in names):
        return
    for lifecycle in axes.get("lifecycle", ()):
        reasons = [
            why_no_lifecycle(lifecycle, quantizers[name], steps)
            for name in names
            for steps in axes.get("train_steps", (0,))
        ]
        if None not in reasons:
            expected = "train_steps: 1 or more, and a quantizer of mode qat, without phases"
            if lifecycle not in TRAINING_LIFECYCLES:
                expected = "a quantizer without phases"
            yield top.key("lifecycle").problem(str(reasons[0]), expected=expected)
