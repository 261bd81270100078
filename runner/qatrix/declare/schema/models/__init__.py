"""The keys of every declaration, with what they mean; this is the reference of the YAML.

A section of a file has a module: `patterns`, `quantizers` (with `presets`, `tensors` and `ops`), `runtimes`, `checks`,
`suites` and `expectations`; `files` puts them together.
"""

from __future__ import annotations

from qatrix.declare.schema.models.checks import Check, Op
from qatrix.declare.schema.models.declaration import Count, Declaration, Number, Positive
from qatrix.declare.schema.models.expectations import SAID_BY_A_CAUSE, Cause, CpuFeatures, Expectation, Issue, Stage
from qatrix.declare.schema.models.files import SECTIONS, Device, File, Tolerance
from qatrix.declare.schema.models.ops import OpAnnotation
from qatrix.declare.schema.models.patterns import (
    ConvKind,
    Dtype,
    Input,
    InputValues,
    MemoryFormat,
    Outlier,
    OwnTensor,
    Pattern,
)
from qatrix.declare.schema.models.presets import Backend, FxPreset, MappingBackend, Pt2ePreset, QConfigSpecs
from qatrix.declare.schema.models.quantizers import Chain, ConvertOptions, Phase, Quantizer
from qatrix.declare.schema.models.runtimes import Runtime, RuntimeUse
from qatrix.declare.schema.models.suites import CheckUse, Pipelines, QuantizesNothing, Suite
from qatrix.declare.schema.models.tensors import DerivedSpec, Observer, QScheme, QuantizedDtype, SharedSpec, TensorSpec

__all__ = [
    "SAID_BY_A_CAUSE",
    "SECTIONS",
    "Backend",
    "Cause",
    "Chain",
    "Check",
    "CheckUse",
    "ConvKind",
    "ConvertOptions",
    "Count",
    "CpuFeatures",
    "Declaration",
    "DerivedSpec",
    "Device",
    "Dtype",
    "Expectation",
    "File",
    "FxPreset",
    "Input",
    "InputValues",
    "Issue",
    "MappingBackend",
    "MemoryFormat",
    "Number",
    "Observer",
    "Op",
    "OpAnnotation",
    "Outlier",
    "OwnTensor",
    "Pattern",
    "Phase",
    "Pipelines",
    "Positive",
    "Pt2ePreset",
    "QConfigSpecs",
    "QScheme",
    "QuantizedDtype",
    "Quantizer",
    "QuantizesNothing",
    "Runtime",
    "RuntimeUse",
    "SharedSpec",
    "Stage",
    "Suite",
    "TensorSpec",
    "Tolerance",
]
