"""Imported once by the process that workers are forked from, so that no worker waits for torch."""

from __future__ import annotations

import atexit
import gc
import threading

import torch.hub

from qatrix.cycles import leave_out_what_is_here
from qatrix.execute import case
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.pattern_cache.files import loaded_code
from qatrix.pipelines.torchenv import import_quantizers

READY = {name: pipeline.missing() is None for name, pipeline in PIPELINES.items()}
import_quantizers()
loaded_code()

# FX's interpreters make progress bars that they hide. The lock of tqdm's own choice is one between processes, of which
# Python says at the end that each worker has leaked it.
_progress = vars(torch.hub)["tqdm"]
if hasattr(_progress, "set_lock"):
    _progress.set_lock(threading.RLock())

leave_out_what_is_here()
# Extensions report as leaked what is never collected.
atexit.register(gc.unfreeze)

__all__ = ["READY", "case"]
