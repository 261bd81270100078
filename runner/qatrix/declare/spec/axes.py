"""The axes of suites that have a meaning of their own, and what their values may be."""

from __future__ import annotations

from typing import Final, Literal

# What is done between prepare and convert; only cases that train take these axes.
TRAINING_AXES = ("train_steps", "observer_state", "batch_norm")
# Axes with a meaning of their own; any other axis is a parameter of the pattern.
RESERVED_AXES = (
    "pattern",
    "conv",
    "dim",
    "dtype",
    "dynamic_batch",
    "capture",
    "lifecycle",
    "quantizer",
    "runtime",
    "device",
    "calibration_batches",
    *TRAINING_AXES,
)
# What the parameters and floating inputs of a model may be.
FloatDtype = Literal["float32", "float64", "float16", "bfloat16"]
# How PT2E exports a model: traced by dynamo, or by running it.
CaptureMode = Literal["strict", "non_strict"]
# What users do with programs on their way, beside quantizing them.
Lifecycle = Literal["none", "save_load", "checkpoint", "state_dict", "deepcopy", "average", "eval_and_train", "repeat"]
# Those of a program that takes optimizer steps.
TRAINING_LIFECYCLES: Final = ("average", "eval_and_train")
ObserverState = Literal["enabled", "disabled"]
BatchNormState = Literal["training", "frozen"]
