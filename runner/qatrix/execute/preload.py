"""Imported once by the process that workers are forked from, so that no worker waits for torch."""

from __future__ import annotations

import atexit
import gc
import threading

import torch.hub

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

# 600,000 objects of imported modules, which every full collection of a worker would search for garbage in vain.
# Thawed at the end: extensions report as leaked what is never collected.
gc.freeze()
atexit.register(gc.unfreeze)
# Python's 700 looks for garbage 27 times a case: 7 % of its time, of which 5 % are saved (torch 2.15, two cores).
gc.set_threshold(10_000)

__all__ = ["READY", "case"]
