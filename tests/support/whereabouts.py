"""Cases that tell which process they run in, or run a backward pass there; importable by a worker."""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from multiprocessing.connection import Listener
from pathlib import Path

from qatrix.declare.spec import Case, Training
from qatrix.outcomes import Record
from support import specs
from support.faults import run_faulty

TRAINING = Training(steps=1)
# One of the standard library that nothing here imports.
MODULE = "colorsys"


def trained(case: Case) -> Case:
    """The same case with a training step."""
    return replace(case, training=TRAINING)


def numbered(count: int, kind: str = "good") -> list[Case]:
    """Cases of one pattern, which is named after what `run_faulty` is to do."""
    return [replace(specs.case(f"s/{kind}/n={number}"), pattern=specs.pattern(kind)) for number in range(count)]


def run_telling(case: Case) -> Record:
    """A record whose summary is the process's id and its parent's, and whether it has imported MODULE."""
    return replace(run_faulty(case), summary=f"{os.getpid()} {os.getppid()} {MODULE in sys.modules}")


def run_backward(case: Case) -> Record:
    """A record that came about after a forward and a backward pass."""
    import torch

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.ReLU())
    model(torch.randn(2, 3, 8, 8)).square().mean().backward()
    return run_faulty(case)


def run_keeping(case: Case) -> Record:
    """A record that says where temporary files, those of other programs and sockets of this process go."""
    with Listener(family="AF_UNIX") as listener:
        sockets = Path(str(listener.address)).resolve().parent
        told = f"{tempfile.gettempdir()} {os.environ['TMPDIR']} {sockets}"
    return replace(run_faulty(case), summary=told)
