"""`torch.export` once more: the program as what exports it again gets it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program


@dataclass(frozen=True)
class Again:
    """A program that was exported a second time."""

    module: nn.Module

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        with torch.no_grad():
            return inputs.call(self.module)

    def ran(self) -> Ran:
        """Nothing: every op is the program's own."""
        return Ran()


@dataclass(frozen=True, kw_only=True)
class Reexported:
    """Exports, by running the program on stand-ins or, strictly, by reading its code."""

    strict: bool

    def missing(self) -> str | None:
        """None: it comes with torch."""
        return None

    def version(self) -> str | None:
        """None: it is torch itself."""
        return None

    def lower(self, program: Program) -> Again:
        """The program, exported."""
        exported = torchenv.exported(
            program.module, program.inputs, dynamic_batch=program.dynamic_batch, strict=self.strict
        )
        return Again(module=exported.module())


def runtime(options: Settings) -> Reexported:
    """The runtime, told whether the export is strict."""
    return Reexported(strict=bool(options["strict"]))
