"""XNNPACKQuantizer of ExecuTorch, configured by methods that no key of a declaration stands for.

It is a module of its own, because only those who have ExecuTorch can import it: `--allow-module upstream_executorch`.
"""

from __future__ import annotations

from typing import Any

from executorch.backends.xnnpack.quantizer import xnnpack_quantizer
from torchao.quantization.pt2e.quantizer import Quantizer
from upstream_quantizers import xnnpack_of


def xnnpack(**how: Any) -> Quantizer:
    """XNNPACKQuantizer of ExecuTorch, configured in one of the ways that it has."""
    return xnnpack_of(xnnpack_quantizer, **how)
