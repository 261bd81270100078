"""What a case is called: the text of its axis values, the key of its float model, the name of its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from qatrix.declare.spec import RESERVED_AXES, TRAINING_AXES, TRAINING_LIFECYCLES, Case, PatternSpec, QuantizerSpec
from qatrix.expressions import Value
from qatrix.lowerings import REFERENCE

# Axes that a suite may leave out; `dim` has no default, since no dimension is the usual one.
DEFAULTS: Final[Mapping[str, str]] = {
    "conv": "conv",
    "dtype": "float32",
    "dynamic_batch": "false",
    "capture": "strict",
    "lifecycle": "none",
    "runtime": REFERENCE,
    "device": "cpu",
    "calibration_batches": "all",
    "train_steps": "0",
    "observer_state": "enabled",
    "batch_norm": "training",
}
# The values that may stand in an id: safe in a shell, and without the characters that part an id.
SAFE_VALUE: Final = re.compile(r"[A-Za-z0-9_.+-]+")
# File systems allow 255 bytes; what is left is for a suffix.
_LONGEST_FILE_NAME: Final = 200


def value_text(value: Value) -> str:
    """An axis value as it stands in a case id: `true`, `null`, `1`, `0.1`, `3x1` for a tuple."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "x".join(map(value_text, value))
    return repr(value) if isinstance(value, float) else str(value)


def takes(pattern: PatternSpec, axis: str) -> bool:
    """Whether an axis changes anything about the cases of a pattern."""
    if axis == "conv":
        return pattern.takes_conv
    if axis == "dim":
        return pattern.takes_dim
    return axis in RESERVED_AXES or axis in pattern.params


def idle_axes(quantizer: QuantizerSpec, train_steps: Value) -> tuple[str, ...]:
    """The training axes that change nothing: all with a quantizer that does not train, some where no step is made."""
    if not quantizer.trainable:
        return TRAINING_AXES
    return () if train_steps else TRAINING_AXES[1:]


def why_no_lifecycle(lifecycle: Value, quantizer: QuantizerSpec, train_steps: Value) -> str | None:
    """Why a lifecycle has nothing to work on in a case, None where it has."""
    if lifecycle == "none":
        return None
    if quantizer.phases:
        return f"lifecycle {lifecycle} needs a model that is quantized as a whole, and {quantizer.name} has phases"
    if lifecycle not in TRAINING_LIFECYCLES:
        return None
    if not quantizer.trainable:
        return f"lifecycle {lifecycle} needs training steps, and {quantizer.name} does not train"
    return None if train_steps else f"lifecycle {lifecycle} needs training steps, and none is made"


def why_no_runtime(runtime: Value, lifecycle: Value, quantizer: QuantizerSpec) -> str | None:
    """Why a case's converted model is not lowered, None where it can be."""
    if runtime == REFERENCE:
        return None
    if quantizer.phases:
        return f"runtime {runtime} needs a model that is quantized as a whole, and {quantizer.name} has phases"
    return (
        None if lifecycle == "none" else f"runtime {runtime} needs a case without a lifecycle, and this has {lifecycle}"
    )


def model_key(case: Case) -> str:
    """What the float model is: pattern, conv kind, dim, parameters; equal keys have equal weights and inputs."""
    parts = [case.pattern.name]
    if case.conv_kind is not None:
        parts.append(f"conv={case.conv_kind.name}")
    if case.dim is not None:
        parts.append(f"dim={case.dim}")
    return ",".join(parts + [f"{name}={value_text(case.params[name])}" for name in sorted(case.params)])


def seed_of(key: str) -> int:
    """31 bits of a model key's hash: torch takes more, but these print well and fit every integer type."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") & 0x7FFFFFFF


def file_name(case_id: str) -> str:
    """A case id as the name of a file, without a suffix; an id too long for one ends in a hash of itself."""
    name = case_id.replace("/", "__")
    if len(name) <= _LONGEST_FILE_NAME:
        return name
    digest = hashlib.sha256(case_id.encode()).hexdigest()[:16]
    return f"{name[: _LONGEST_FILE_NAME - len(digest) - 1]}-{digest}"
