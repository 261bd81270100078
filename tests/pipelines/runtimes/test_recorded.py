"""Outputs that were recorded elsewhere: read by case, and only for the inputs that they are of."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from qatrix.declare.inputs import DataFile
from qatrix.pipelines.datafiles import DataFault
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.recorded import Recorded, runtime
from support import specs

CASE = "deployed/net/runtime=phone,device=cpu"


class Two(nn.Module):
    """Gives two tensors by name."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"sum": x + 1, "product": 2 * x}


def program(x: Tensor) -> Program:
    return Program(module=Two(), inputs=Inputs.of(x), quantizer=specs.quantizer(), case_id=CASE)


def recorded(path: Path, **tensors: Tensor) -> Recorded:
    """The runtime of a file with these tensors of the case; `output_0` is its first output."""
    save_file({f"{CASE}/{name.replace('_', '/')}": tensor for name, tensor in tensors.items()}, path)
    return runtime({"outputs": DataFile(path=str(path), source=specs.source())})


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "phone.safetensors"


def test_the_outputs_have_the_structure_of_the_program(path: Path) -> None:
    x = torch.ones(3)
    played = recorded(path, output_0=torch.zeros(3), output_1=torch.ones(3), input_0=x).lower(program(x))
    outputs = played.run(Inputs.of(x))

    assert isinstance(outputs, dict)
    assert list(outputs) == ["sum", "product"]
    assert torch.equal(outputs["sum"], torch.zeros(3))
    assert played.ran().notes == ()


def test_where_the_inputs_are_not_in_the_file_a_note_says_so(path: Path) -> None:
    x = torch.ones(3)
    played = recorded(path, output_0=x, output_1=x.clone()).lower(program(x))

    assert played.ran().notes == ("the file does not say for which inputs its outputs were recorded",)


def test_other_inputs_are_refused(path: Path) -> None:
    runtime = recorded(path, output_0=torch.ones(3), output_1=torch.ones(3), input_0=torch.ones(3))

    with pytest.raises(DataFault, match=r"phone.safetensors, declared at .*, was recorded for other inputs of"):
        runtime.lower(program(torch.zeros(3)))


def test_another_batch_is_refused(path: Path) -> None:
    x = torch.ones(3)
    played = recorded(path, output_0=x, output_1=x.clone()).lower(program(x))

    with pytest.raises(ValueError, match="the outputs of one batch are recorded, and another one was asked for"):
        played.run(Inputs.of(torch.zeros(3)))


def test_a_case_that_is_not_in_the_file_is_told(path: Path) -> None:
    runtime = recorded(path, output_0=torch.ones(3))

    with pytest.raises(DataFault, match=r"has 1 outputs of deployed/net.*; expected 2, named deployed/net.*/output/0"):
        runtime.lower(program(torch.ones(3)))


def test_it_lacks_nothing_and_has_no_version(path: Path) -> None:
    runtime = recorded(path)

    assert (runtime.missing(), runtime.version()) == (None, None)
