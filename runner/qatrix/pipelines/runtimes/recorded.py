"""A runtime that is elsewhere, such as a phone: what it gave was recorded in a file, which is read here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qatrix.declare.inputs import DataFile
from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines.datafiles import DataFault, read_tensors
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program

# The names of a case's tensors in a file: "CASE/output/0", "CASE/input/0", counted as the model takes and gives them.
_OUTPUT: Final = "output"
_INPUT: Final = "input"


@dataclass(frozen=True)
class Played:
    """What was recorded for one call."""

    inputs: Inputs
    outputs: object
    notes: tuple[str, ...]

    def run(self, inputs: Inputs) -> object:
        """The recorded outputs; raises ValueError for other inputs than those that they were recorded for."""
        if not _same(self.inputs.tensors, inputs.tensors):
            msg = "the outputs of one batch are recorded, and another one was asked for"
            raise ValueError(msg)
        return self.outputs

    def ran(self) -> Ran:
        """Nothing is known but what came out."""
        return Ran(notes=self.notes)


@dataclass(frozen=True)
class Recorded:
    """A file of outputs, by case."""

    file: DataFile

    def missing(self) -> str | None:
        """None: a file that is not there is a fault of the declaration."""
        return None

    def version(self) -> str | None:
        """None: what ran is not known."""
        return None

    def lower(self, program: Program) -> Played:
        """What was recorded for a case. Raises DataFault where the file lacks it, or has it for other inputs."""
        path = Path(self.file.path)
        content = read_tensors(self.file, path)
        tensors = content if isinstance(content, Mapping) else {}
        outputs = _named(tensors, program.case_id, _OUTPUT)
        structure = pytree.tree_structure(program.inputs.call(program.module))
        if len(outputs) != structure.num_leaves:
            found = f"has {len(outputs)} outputs of {program.case_id}"
            names = f"{program.case_id}/{_OUTPUT}/0 and so on"
            raise DataFault(self.file, path, found, f"{structure.num_leaves}, named {names}")
        inputs = _named(tensors, program.case_id, _INPUT)
        if inputs and not _same(program.inputs.tensors, inputs):
            found = f"was recorded for other inputs of {program.case_id}"
            raise DataFault(self.file, path, found, "those that the case draws here")
        notes = () if inputs else ("the file does not say for which inputs its outputs were recorded",)
        return Played(program.inputs, pytree.tree_unflatten(list(outputs), structure), notes)


def runtime(options: Settings) -> Recorded:
    """The runtime whose outputs are in a file."""
    file = options["outputs"]
    assert isinstance(file, DataFile)
    return Recorded(file)


def _named(tensors: Mapping[str, object], case_id: str, kind: str) -> tuple[Tensor, ...]:
    """A case's tensors of a kind, in their order, up to the first number that is not there."""
    found: list[Tensor] = []
    while isinstance(tensor := tensors.get(f"{case_id}/{kind}/{len(found)}"), Tensor):
        found.append(tensor)
    return tuple(found)


def _same(left: tuple[Tensor, ...], right: tuple[Tensor, ...]) -> bool:
    pairs = zip(left, right)
    return len(left) == len(right) and all(
        one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one.cpu(), other))
        for one, other in pairs
    )
