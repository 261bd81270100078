"""Inductor: what is lowered to oneDNN's kernels, what is left in float, and that nothing is left behind."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, inductor
from qatrix.pipelines.torchenv import lowering
from support.real_departures import program, quantizer

MISSING = torchenv.lowering_missing(compiles=False)
NO_COMPILER = torchenv.lowering_missing(compiles=True)
pytestmark = [pytest.mark.torch, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]
compiles = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))


class Model(nn.Module):
    """Two convolutions with an addition, a product that Inductor leaves in float, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.mean = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        values = self.relu(self.first(x))
        values = self.pool(values + self.second(values))
        return {"logits": self.head(self.mean(values * 2).flatten(1))}


class Scaled(Model):
    """The same with a second input, which comes by keyword."""

    def forward(self, x: Tensor, scale: Tensor) -> dict[str, Tensor]:  # type: ignore[override]  # another model
        return {"logits": super().forward(x)["logits"] * scale}


def quantized(pipeline: str = "pt2e", *, scale: Tensor | None = None) -> Program:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x = torch.randn(2, 3, 8, 8)
    if scale is None:
        return program(Model(), Inputs.of(x), quantizer("seven_bits"), pipeline=pipeline)
    return program(Scaled(), Inputs((x,), {"scale": scale}), quantizer("seven_bits"), pipeline=pipeline)


def logits(value: object) -> Tensor:
    assert isinstance(value, dict)
    found: Tensor = value["logits"]
    return found


def test_a_lowered_program_gives_what_its_reference_gives() -> None:
    made = quantized()
    code = made.module.code
    lowered = inductor.runtime({"compile": False}).lower(made)

    torch.testing.assert_close(
        logits(lowered.run(made.inputs)), logits(made.inputs.call(made.module)), rtol=0, atol=1e-4
    )
    assert made.module.code == code


def test_a_lowered_program_of_fx_gives_what_its_reference_gives_within_a_step() -> None:
    made = quantized("fx")
    lowered = inductor.runtime({"compile": False}).lower(made)
    reference = logits(made.inputs.call(made.module))
    # FX quantizes the output, whose values are multiples of its step.
    steps = reference.flatten().sort().values.diff()
    step = float(steps[steps > 1e-6].min())

    torch.testing.assert_close(logits(lowered.run(made.inputs)), reference, rtol=0, atol=1.001 * step)


def test_it_tells_which_layers_run_in_integers_by_their_parameters() -> None:
    kernels = {kernel.name: kernel for kernel in inductor.runtime({"compile": False}).lower(quantized()).ran().kernels}

    assert kernels["onednn.qconv_pointwise.default"].layers == ("first",)
    assert kernels["onednn.qconv2d_pointwise.binary"].layers == ("second", "add")
    assert kernels["onednn.qlinear_pointwise.default"].layers == ("head",)
    assert {name for name, kernel in kernels.items() if kernel.arithmetic == "integers"} == {
        "onednn.qconv_pointwise.default",
        "onednn.qconv2d_pointwise.binary",
        "onednn.qlinear_pointwise.default",
    }


def test_what_fx_quantizes_and_inductor_does_not_is_in_float() -> None:
    ran = inductor.runtime({"compile": False}).lower(quantized("fx")).ran()

    assert {(item.op, item.layer) for item in ran.float_ops} >= {("aten.mul.Tensor", "mul"), ("aten.mean.dim", "mean")}
    assert "first" in next(kernel.layers for kernel in ran.kernels if kernel.name == "onednn.qconv_pointwise.default")


def test_arguments_by_keyword_are_lowered_too() -> None:
    made = quantized(scale=torch.tensor(2.0))
    inputs = made.inputs
    lowered = inductor.runtime({"compile": False}).lower(made)

    torch.testing.assert_close(logits(lowered.run(inputs)), logits(inputs.call(made.module)), rtol=0, atol=1e-4)


def test_a_lowered_program_refuses_another_batch() -> None:
    lowered = inductor.runtime({"compile": False}).lower(quantized())

    with pytest.raises(RuntimeError, match="to be equal to 2, but got 3"):
        lowered.run(Inputs.of(torch.randn(3, 3, 8, 8)))


def running_children() -> set[str]:
    return set(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


@compiles
@pytest.mark.slow
def test_a_compiled_program_runs_in_integers_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from torch._inductor import config

    # A folder of its own, since other tests compile at the same time; and children of its own, since other tests of
    # this process may have left some.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    children = running_children()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/nowhere")
    settings = config.freezing, config.compile_threads
    threads = {thread.name for thread in threading.enumerate()}
    made = quantized()
    lowered = inductor.runtime({"compile": True}).lower(made)
    outputs = lowered.run(made.inputs)
    kernels = {kernel.name: kernel for kernel in lowered.ran().kernels}

    torch.testing.assert_close(logits(outputs), logits(made.inputs.call(made.module)), rtol=0, atol=1e-4)
    assert kernels["onednn.qconv_pointwise.tensor"].layers == ("first",)
    assert set(kernels["onednn.qconv2d_pointwise.binary_tensor"].layers) == {"second", "add"}
    assert kernels["cpp_fused_quantize_per_tensor_0"].arithmetic == "none"
    assert (config.freezing, config.compile_threads) == settings
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/nowhere"
    assert list(tmp_path.glob("qatrix-inductor-*")) == []
    # FX's interpreter starts tqdm's wherever it first runs.
    assert {thread.name for thread in threading.enumerate()} - threads <= {"tqdm_monitor"}
    assert running_children() <= children


def test_a_processor_of_another_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    reason = lowering.lowering_missing.__wrapped__(compiles=False)

    assert reason is not None
    assert "need an x86 processor, and this is aarch64" in reason


def test_a_missing_compiler_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    reason = lowering.lowering_missing.__wrapped__(compiles=True)

    assert reason is not None
    assert reason.endswith("apt-get install g++, or give the runtime the option compile: false")
    assert lowering.lowering_missing.__wrapped__(compiles=False) is None
