"""The weights of a model out of a file: all of them, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from qatrix.declare.inputs import DataFile
from qatrix.pipelines.datafiles import DataFault
from qatrix.pipelines.models import build_model
from qatrix.pipelines.weights import load_weights
from support import specs
from support.cases import written_cases

pytestmark = pytest.mark.torch


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight


def file(path: Path) -> DataFile:
    return DataFile(path=str(path), source=specs.source(7))


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights.pth"])
def test_a_factory_has_the_weights_of_its_file(tmp_path: Path, name: str) -> None:
    state = nn.PReLU(3, init=0.75).state_dict()
    if not name.endswith(".safetensors"):
        torch.save(state, tmp_path / name)
    else:
        save_file(state, tmp_path / name)
    text = f"""
patterns:
  written: {{model: torch.nn.PReLU, args: {{num_parameters: 3}}, weights: {name}, inputs: {{x: {{shape: [2, 3]}}}}}}
suites: {{written: {{axes: {{pattern: written, dtype: [float32, float64], quantizer: xnnpack_int8_per_tensor_ptq}}}}}}
"""
    plain, wide = written_cases(tmp_path, text)

    assert build_model(plain).state_dict()["weight"].tolist() == [0.75] * 3
    assert build_model(wide).state_dict()["weight"].dtype == torch.float64


def test_a_tied_parameter_need_not_be_there_twice(tmp_path: Path) -> None:
    saved, model = Tied(), Tied()
    save_model(saved, str(tmp_path / "tied.safetensors"))
    load_weights(model, file(tmp_path / "tied.safetensors"))

    assert torch.equal(model.b.weight, saved.a.weight)
    assert model.b.weight is model.a.weight


def test_what_does_not_fit_is_named_the_first_five(tmp_path: Path) -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(4)))
    state = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(2), "head": torch.zeros(1)}
    save_file(state, tmp_path / "some.safetensors")
    with pytest.raises(DataFault) as told:
        load_weights(model, file(tmp_path / "some.safetensors"))

    assert str(told.value) == (
        "some.safetensors, declared at matrix/test.yaml:7:1, does not fit the model: "
        "it lacks 1.weight, 1.bias, 2.weight, 2.bias, 3.weight and 1 more; "
        "it has, unlike the model, head; it has other shapes: 0.weight [3, 2] for [2, 2]; "
        "expected the names and shapes of the model's state_dict()"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds list; expected the model's state_dict alone"),
        (
            {"state_dict": {}, "epoch": 3},
            "holds more than tensors: dict 'state_dict', int 'epoch'; expected the model's",
        ),
        ({0: torch.zeros(2)}, "holds something under 0, which is no name; expected the model's state_dict alone"),
    ],
)
def test_a_file_of_something_else_holds_no_weights(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(DataFault, match=message):
        load_weights(nn.Linear(2, 2), file(tmp_path / "other.pt"))


def test_a_whole_model_is_not_read_and_what_to_save_is_told(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "whole.pt")
    with pytest.raises(DataFault, match=r"of a whole model only the state_dict\(\) can be read"):
        load_weights(nn.Linear(2, 2), file(tmp_path / "whole.pt"))


class Stateful(nn.Linear):
    """A layer with more to keep than tensors."""

    def get_extra_state(self) -> object:
        return {"steps": 3}

    def set_extra_state(self, state: object) -> None:
        self.state = state


def test_the_state_of_a_module_may_be_more_than_tensors(tmp_path: Path) -> None:
    model = Stateful(2, 2)
    torch.save({"weight": torch.zeros(2, 2), "bias": torch.zeros(2), "_extra_state": torch.ones(3)}, tmp_path / "w.pt")
    load_weights(model, file(tmp_path / "w.pt"))

    assert model.state is not None
    assert not model.weight.any()


def test_a_file_that_has_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFault, match=r"gone\.pt, declared at matrix/test\.yaml:7:1, cannot be read"):
        load_weights(nn.Linear(2, 2), file(tmp_path / "gone.pt"))
