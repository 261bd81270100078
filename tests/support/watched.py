"""Small models in float64, and their programs of FX graph mode, for tests of what is as specified."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, fx, nn

from qatrix.declare.spec import FxPreset, Mode, QuantizerSpec
from qatrix.execute.arbitration import Arbiter, Arbitration
from qatrix.execute.passes import set_training
from qatrix.execute.state import State
from qatrix.judge.arbiter import Deviation, FloatModel
from qatrix.pipelines import fx as fx_pipeline
from qatrix.pipelines.inputs import Inputs
from support import specs

# What is done to a program before it runs.
Change = Callable[[fx.GraphModule], object]


def unchanged(_: fx.GraphModule) -> None:
    """Nothing."""


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Numbers from the normal distribution, always the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def arbiter_of(model: nn.Module, *inputs: Tensor, trains: bool = False) -> Arbiter:
    """The arbiter of a model that can be followed."""
    made = Arbiter.of(specs.case(), model, Inputs(inputs), trains=trains)
    assert isinstance(made, Arbiter), made
    return made


def float_model(model: nn.Module, *inputs: Tensor, trains: bool = False) -> FloatModel:
    """A model in float64, in evaluation unless it trains."""
    made = arbiter_of(model, *inputs, trains=trains)
    set_training(made.model, trains)
    return made.prepare


def quantizer_for(*, trains: bool) -> QuantizerSpec:
    """FX graph mode's symmetric int8 with one scale for each weight."""
    mode: Mode = "qat" if trains else "ptq"
    kind = "qat_qconfig" if trains else "qconfig"
    preset = FxPreset(backend_config="qnnpack", qconfig=f"default_symmetric_qnnpack_{kind}")
    return specs.quantizer(mode=mode, fx=preset)


def prepared_program(model: nn.Module, *inputs: Tensor, trains: bool = False) -> fx.GraphModule:
    """A copy of the model as FX graph mode prepares it."""
    quantizer = quantizer_for(trains=trains)
    program = fx_pipeline.prepare(copy.deepcopy(model).train(trains), Inputs(inputs), quantizer, skip_modules=())
    assert isinstance(program, fx.GraphModule)
    return program


def deviations(
    model: nn.Module, *inputs: Tensor, trains: bool = False, prepared: Change = unchanged, converted: Change = unchanged
) -> tuple[Deviation, ...]:
    """What is not as specified in FX graph mode's programs, each of which is changed before it runs."""
    program = prepared_program(model, *inputs, trains=trains)
    prepared(program)
    arbitration = Arbitration("fx", arbiter_of(model, *inputs, trains=trains), State())
    with torch.no_grad():
        arbitration.observe("prepare", arbitration.run(program, Inputs(inputs)))
        fx_pipeline.to_eval(program)
        made = fx_pipeline.convert(program, quantizer_for(trains=trains))
        assert isinstance(made, fx.GraphModule)
        converted(made)
        arbitration.run(made, Inputs(inputs))
    assert isinstance(arbitration.arbiter, Arbiter), arbitration.arbiter
    return tuple(arbitration.deviations)


class ConvBnRelu(nn.Module):
    """A convolution, a batch norm that has seen something, and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU()
        for number, tensor in enumerate((*self.parameters(), self.bn.running_mean)):
            assert tensor is not None
            tensor.data.copy_(drawn(*tensor.shape, seed=number))

    def forward(self, x: Tensor) -> Tensor:
        """The ReLU of the normalized convolution."""
        y: Tensor = self.relu(self.bn(self.conv(x)))
        return y


IMAGE = drawn(2, 3, 6, 6, seed=9)
