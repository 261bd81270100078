"""FX's own kernels: what runs in integers, what is left in float, and which engines there are."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from qatrix.declare.spec import FxPreset
from qatrix.lowerings import Kernel
from qatrix.pipelines import PIPELINES, torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, native
from support import specs
from support.cases import shipped_cases
from support.real_departures import program, quantizer

pytestmark = pytest.mark.torch
ENGINES = [engine for engine in torchenv.engines() if engine != "none"]


class Model(nn.Module):
    """A convolution, an activation that no engine has a kernel for, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        values = self.relu(self.conv(x))
        return {"logits": self.head(self.pool(values).flatten(1)), "features": torch.softmax(values, 1)}


def prepared(spec_name: str = "seven_bits") -> Program:
    torch.manual_seed(0)
    spec = replace(quantizer(spec_name), fx=FxPreset(backend_config="x86", qconfig_mapping="x86"))
    return program(Model(), Inputs.of(torch.randn(2, 3, 6, 6)), spec, pipeline="fx", prepared=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_gives_what_the_reference_gives_within_a_step(engine: str) -> None:
    made = prepared()
    before = torch.backends.quantized.engine
    state = {name: str(value) for name, value in made.module.state_dict().items()}
    lowered = native.runtime({"engine": engine}).lower(made)
    outputs = lowered.run(made.inputs)
    reference = made.inputs.call(PIPELINES["fx"].convert(copy.deepcopy(made.module), made.quantizer))

    assert isinstance(outputs, dict)
    assert not any(value.is_quantized for value in outputs.values())
    torch.testing.assert_close(outputs["logits"], reference["logits"], rtol=0, atol=0.02)
    assert torch.backends.quantized.engine == before
    assert {name: str(value) for name, value in made.module.state_dict().items()} == state


@pytest.mark.skipif("x86" not in ENGINES, reason="this build of torch has no engine x86")
def test_it_tells_its_kernels_their_layers_and_its_size() -> None:
    made = prepared()
    ran = native.runtime({"engine": "x86"}).lower(made).ran()

    kernels = {kernel.name: kernel for kernel in ran.kernels}
    assert kernels["nn.intrinsic.quantized.ConvReLU2d"] == Kernel(
        name="nn.intrinsic.quantized.ConvReLU2d", arithmetic="integers", count=1, layers=("conv",)
    )
    assert kernels["nn.quantized.Linear"].layers == ("head",)
    assert kernels["nn.AdaptiveAvgPool2d"].arithmetic == "integers"
    assert kernels["torch.quantize_per_tensor"].arithmetic == "none"
    assert ran.float_ops == ()
    assert ran.size_bytes is not None
    assert ran.size_bytes > 1000


@pytest.mark.skipif("x86" not in ENGINES, reason="this build of torch has no engine x86")
def test_a_convolution_whose_weight_no_kernel_takes_is_left_in_float() -> None:
    case = next(case for case in shipped_cases() if case.quantizer.name == "conv_bn_int32_weight_qat")
    inputs, fx = Inputs.of(torch.randn(2, 3, 8, 8)), PIPELINES["fx"]
    captured = fx.capture(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), inputs, dynamic_batch=False)()
    module = fx.prepare(captured, inputs, case.quantizer, skip_modules=())
    inputs.call(module)
    fx.to_eval(module)
    made = Program(module=module, inputs=inputs, quantizer=case.quantizer)
    ran = native.runtime({"engine": "x86"}).lower(made).ran()

    assert [(item.op, item.layer) for item in ran.float_ops] == [("nn.Conv2d", "0")]


def test_an_engine_that_is_not_built_in_is_missing_with_those_that_are() -> None:
    reason = native.runtime({"engine": "hexagon"}).missing()

    assert reason is not None
    assert reason.startswith("this build of torch has no quantized engine hexagon, because torch.backends.quantized.")
    assert all(engine in reason for engine in ENGINES)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_that_is_built_in_is_there(engine: str) -> None:
    assert native.runtime({"engine": engine}).missing() is None


def test_the_engine_is_set_back_where_the_program_raises() -> None:
    before = torch.backends.quantized.engine
    with pytest.raises(RuntimeError), native.on_engine(ENGINES[0]):
        raise RuntimeError

    assert torch.backends.quantized.engine == before


@pytest.mark.skipif("qnnpack" not in ENGINES, reason="this build of torch has no engine qnnpack")
def test_convolutions_of_signed_activations_raise_what_the_engine_says() -> None:
    spec = specs.quantizer(
        mode="ptq", fx=FxPreset(backend_config="qnnpack", qconfig="default_symmetric_qnnpack_qconfig")
    )
    made = program(nn.Conv2d(3, 4, 3), Inputs.of(torch.randn(1, 3, 6, 6)), spec, pipeline="fx", prepared=True)
    lowered = native.runtime({"engine": "qnnpack"}).lower(made)
    if torch._C._is_xnnpack_enabled():
        pytest.skip("this build of torch takes them with XNNPACK")

    with pytest.raises(RuntimeError, match="Expected activation data type QUInt8"):
        lowered.run(made.inputs)
