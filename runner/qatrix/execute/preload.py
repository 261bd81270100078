"""Imported once by the process that workers are forked from, so that no worker waits for torch."""

from __future__ import annotations

from qatrix.execute import case
from qatrix.pipelines import PIPELINES

READY = {name: pipeline.missing() is None for name, pipeline in PIPELINES.items()}

__all__ = ["READY", "case"]
