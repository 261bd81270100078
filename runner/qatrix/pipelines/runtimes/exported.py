"""`torch.export.save` and `load`: the program as it comes back from a file."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program

# Where an op comes from: lines of code, numbers of objects in this process. Their length differs from run to run, and
# so would the size of the file.
_NOTES: Final = ("stack_trace", "from_node")


@dataclass(frozen=True)
class Loaded:
    """A program that was loaded from a file."""

    module: nn.Module
    size_bytes: int

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        with torch.no_grad():
            return inputs.call(self.module)

    def ran(self) -> Ran:
        """The size of the file; every op is the program's own."""
        return Ran(size_bytes=self.size_bytes)


class Exported:
    """Saves and loads."""

    def missing(self) -> str | None:
        """None: it comes with torch."""
        return None

    def version(self) -> str | None:
        """None: it is torch itself."""
        return None

    def lower(self, program: Program) -> Loaded:
        """The program, exported, saved and loaded."""
        exported = torchenv.exported(program.module, program.inputs, dynamic_batch=program.dynamic_batch)
        for node in exported.graph.nodes:
            for note in _NOTES:
                node.meta.pop(note, None)
        file = io.BytesIO()
        torch.export.save(exported, file)
        file.seek(0)
        loaded: Any = torch.export.load(file)
        return Loaded(module=loaded.module(), size_bytes=file.getbuffer().nbytes)


def runtime(options: Settings) -> Exported:
    """The runtime; it has no options."""
    del options
    return Exported()
