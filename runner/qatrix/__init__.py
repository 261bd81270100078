"""A declarative test matrix for PyTorch's quantization pipelines, PT2E and FX graph mode."""

from __future__ import annotations

__version__ = "0.1.0"
