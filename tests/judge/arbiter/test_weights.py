"""Weights that a program uses, against the float model's: folded, scaled for training, and rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.judge.arbiter import Deviation
from support.watched import IMAGE, ConvBnRelu, deviations, drawn

pytestmark = pytest.mark.torch

Edit = Callable[[Tensor], Tensor]


def weight(name: str, edit: Edit) -> Callable[[fx.GraphModule], None]:
    """Changes a parameter of a program."""

    def change(program: fx.GraphModule) -> None:
        with torch.no_grad():
            tensor = program.get_parameter(name)
            tensor.copy_(edit(tensor.clone()))

    return change


def scale(program: Any) -> None:
    """Doubles the scale of a converted weight."""
    program.conv[0].weight_scale.mul_(2)


def told(found: tuple[Deviation, ...], at: str) -> set[tuple[str, str]]:
    """The layers and quantities of what is not as specified after a point."""
    return {(item.layer, item.quantity) for item in found if item.at == at}


EDITS = [
    pytest.param(lambda tensor: tensor * 1.05, id="scaled"),
    pytest.param(lambda tensor: tensor.flip(0), id="channels in another order"),
    pytest.param(lambda tensor: tensor.flip(-1), id="mirrored"),
    pytest.param(lambda tensor: tensor + 0.05, id="shifted"),
    pytest.param(torch.zeros_like, id="lost"),
]


@pytest.mark.parametrize("trains", [False, True])
def test_weights_that_are_folded_and_rounded_as_they_should_be_are_no_fault(trains: bool) -> None:
    assert deviations(ConvBnRelu(), IMAGE, trains=trains) == ()


@pytest.mark.parametrize("edit", EDITS)
def test_another_weight_of_a_folded_layer_is_a_fault_after_prepare(edit: Edit) -> None:
    found = deviations(ConvBnRelu(), IMAGE, prepared=weight("conv.0.weight", edit))

    assert ("conv", "weight") in told(found, "prepare")


@pytest.mark.parametrize("edit", EDITS)
def test_another_weight_that_training_simulates_is_a_fault(edit: Edit) -> None:
    found = deviations(ConvBnRelu(), IMAGE, trains=True, prepared=weight("conv.weight", edit))

    assert ("conv", "weight") in told(found, "prepare")


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("trains", [False, True])
def test_another_converted_weight_is_a_fault_after_convert_alone(edit: Edit, trains: bool) -> None:
    found = deviations(ConvBnRelu(), IMAGE, trains=trains, converted=weight("conv.0.weight", edit))

    assert told(found, "prepare") == set()
    assert ("conv", "weight") in told(found, "convert")


@pytest.mark.parametrize("trains", [False, True])
def test_a_single_value_that_is_one_integer_off_is_a_fault(trains: bool) -> None:
    def nudge(program: Any) -> None:
        layer = program.conv[0]
        with torch.no_grad():
            flat = layer.weight.view(-1)
            # The value in the middle is none at which the range ends.
            place = int(flat.abs().argsort()[len(flat) // 2])
            flat[place] += 1.01 * layer.weight_scale.item()

    found = deviations(ConvBnRelu(), IMAGE, trains=trains, converted=nudge)

    assert told(found, "convert") == {("conv", "weight")}
    assert "1 of the 108 values of its weight is not the integers nearest to the float model's" in found[0].sentence


@pytest.mark.parametrize("trains", [False, True])
def test_another_scale_than_the_weight_s_range_gives_is_a_fault(trains: bool) -> None:
    found = deviations(ConvBnRelu(), IMAGE, trains=trains, converted=scale)

    assert ("conv.weight", "scale") in told(found, "convert")


class TwoLayers(nn.Module):
    """A linear layer without a bias and a convolution, each of whose weights can stand for the other's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        for number, tensor in enumerate(self.parameters()):
            tensor.data.copy_(drawn(*tensor.shape, seed=number))

    def forward(self, x: Tensor) -> Tensor:
        """Both after one another."""
        y: Tensor = self.second(self.first(x))
        return y


def test_the_weight_of_another_layer_is_a_fault_of_the_layer_that_has_it() -> None:
    def mix(program: Any) -> None:
        program.second.weight.data.copy_(program.first.weight)

    assert told(deviations(TwoLayers(), IMAGE, converted=mix), "convert") >= {("second", "weight")}
    assert "first" not in {item.layer for item in deviations(TwoLayers(), IMAGE, converted=mix)}


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_weights_of_one_sign_are_no_fault_though_training_simulates_another_scale_than_convert_uses(
    sign: float,
) -> None:
    model = TwoLayers()
    model.first.weight.data.abs_().mul_(sign)

    assert deviations(model, IMAGE, trains=True) == ()
