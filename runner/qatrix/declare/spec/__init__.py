"""What a matrix declares, parsed once and frozen; nothing here refers to torch.

`Matrix` holds all of it. `patterns` are the models, `quantizers` how they are quantized, which rests on `presets`
and `tensors`; `suites` multiply `axes`, and `cases` are the points of the product. `registrations` are what
installed distributions add.
"""

from __future__ import annotations

from qatrix.declare.spec.axes import (
    RESERVED_AXES,
    TRAINING_AXES,
    TRAINING_LIFECYCLES,
    BatchNormState,
    CaptureMode,
    FloatDtype,
    Lifecycle,
    ObserverState,
)
from qatrix.declare.spec.cases import Case, Training
from qatrix.declare.spec.matrices import DeviceSpec, Matrix
from qatrix.declare.spec.patterns import ConvKind, InitSpec, LayerSpec, PatternSpec
from qatrix.declare.spec.presets import FxPreset, Mode, Part, Pt2ePreset, QConfigSpec, Setting
from qatrix.declare.spec.quantizers import Composition, ConvertSpec, PhaseSpec, QuantizerSpec
from qatrix.declare.spec.registrations import OwnPipeline, Registration, Settings
from qatrix.declare.spec.runtimes import RuntimeSpec, RuntimeUse
from qatrix.declare.spec.suites import DEFAULT_TAG, FULL_TAG, CheckUse, Rule, SuiteSpec
from qatrix.declare.spec.tensors import DerivedSpec, OpSpec, OpTensor, SharedSpec, TensorSpec

__all__ = [
    "DEFAULT_TAG",
    "FULL_TAG",
    "RESERVED_AXES",
    "TRAINING_AXES",
    "TRAINING_LIFECYCLES",
    "BatchNormState",
    "CaptureMode",
    "Case",
    "CheckUse",
    "Composition",
    "ConvKind",
    "ConvertSpec",
    "DerivedSpec",
    "DeviceSpec",
    "FloatDtype",
    "FxPreset",
    "InitSpec",
    "LayerSpec",
    "Lifecycle",
    "Matrix",
    "Mode",
    "ObserverState",
    "OpSpec",
    "OpTensor",
    "OwnPipeline",
    "Part",
    "PatternSpec",
    "PhaseSpec",
    "Pt2ePreset",
    "QConfigSpec",
    "QuantizerSpec",
    "Registration",
    "Rule",
    "RuntimeSpec",
    "RuntimeUse",
    "Setting",
    "Settings",
    "SharedSpec",
    "SuiteSpec",
    "TensorSpec",
    "Training",
]
