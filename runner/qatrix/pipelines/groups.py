"""Weights that have a scale for each group of values along their last axis."""

from __future__ import annotations

from typing import Any, Final

import torch

from qatrix.declare.spec import TensorSpec
from qatrix.pipelines.torchenv import Pt2eApi

# Where the observer is told no other.
_SMALLEST: Final = torch.finfo(torch.float32).eps


def grouped_spec(spec: TensorSpec, api: Pt2eApi) -> Any:
    """PT2E's quantization spec of such a weight; raises PackageMissing where this release has no observer for it."""
    kind = "SYMMETRIC" if spec.qscheme.endswith("symmetric") else "ASYMMETRIC"
    observer = api.find("AffineQuantizedMinMaxObserver").with_args(
        mapping_type=getattr(api.find("MappingType"), kind),
        target_dtype=getattr(torch, spec.dtype),
        granularity=api.find("PerGroup")(spec.group_size),
        eps=_SMALLEST if spec.eps is None else spec.eps,
        scale_dtype=torch.float32,
        zero_point_dtype=torch.int32,
    )
    return api.find("QuantizationSpec")(
        dtype=getattr(torch, spec.dtype),
        quant_min=spec.quant_min,
        quant_max=spec.quant_max,
        observer_or_fake_quant_ctr=observer,
    )
