"""ONNX Runtime: what it computes, in which kernels, and what it leaves behind."""

from __future__ import annotations

import os
import sys
import tempfile

import pytest
import torch
from torch.utils import _pytree as pytree

from qatrix.execute.traces import Watch
from qatrix.pipelines.runtimes.onnxruntime import runtime
from support.converted import here, nested, outputs_of, small, sqnr

pytestmark = pytest.mark.torch
ALL = runtime({"optimization": "all"})


@pytest.fixture(autouse=True)
def _here() -> None:
    here(ALL)


def test_without_optimizations_it_gives_what_the_reference_gives_by_design_in_float() -> None:
    program, _ = small("conv_bn_relu")

    lowered = runtime({"optimization": "none"}).lower(program)
    (output,) = pytree.tree_leaves(lowered.run(program.inputs))
    ran = lowered.ran()

    (reference,) = outputs_of(program.module, program.inputs)
    torch.testing.assert_close(output, reference, atol=0.01, rtol=0)
    assert ran.float_ops == ()
    assert "below the optimization level 'extended'" in ran.notes[0]
    assert {kernel.arithmetic for kernel in ran.kernels} == {"float", "none"}


@pytest.mark.parametrize("optimization", ["extended", "all"])
def test_its_optimizer_puts_integer_kernels_in_their_place(optimization: str) -> None:
    program, model = small("conv_bn_relu")

    lowered = runtime({"optimization": optimization}).lower(program)
    (output,) = pytree.tree_leaves(lowered.run(program.inputs))
    ran = lowered.ran()

    (kernel,) = [kernel for kernel in ran.kernels if kernel.arithmetic == "integers"]
    assert kernel.name.endswith("QLinearConv")
    assert (kernel.count, kernel.layers) == (2, ("conv", "last"))
    assert ran.float_ops == ()
    assert ran.size_bytes is not None
    # Without VNNI its kernels saturate, which is no fault of what is tested here.
    assert sqnr(outputs_of(model, program.inputs)[0], output) > 5


def test_what_it_leaves_in_float_is_named_by_layer() -> None:
    program, _ = small("mean")

    ran = ALL.lower(program).ran()

    assert [(op.op, op.layer) for op in ran.float_ops] == [("mean", "mean")]
    assert ran.float_ops[0].because == "its optimizer left it as ReduceMean between quantize and dequantize ops"


def test_what_the_exporter_makes_another_op_of_is_named_as_the_program_has_it() -> None:
    program, _ = small("pool")

    ran = ALL.lower(program).ran()

    (pool,) = [op for op in ran.float_ops if op.layer == "1"]
    assert pool.op == "adaptive_avg_pool2d"
    assert pool.because == "its optimizer left it as ReduceMean between quantize and dequantize ops"


def test_two_runs_give_the_same_bits_and_outputs_come_in_the_structure_of_the_program() -> None:
    program, _ = nested()
    lowered, again = ALL.lower(program), ALL.lower(program)

    output = lowered.run(program.inputs)

    reference = program.inputs.call(program.module)
    assert pytree.tree_structure(output) == pytree.tree_structure(reference)
    for other in (lowered.run(program.inputs), again.run(program.inputs)):
        assert all(map(torch.equal, pytree.tree_leaves(output), pytree.tree_leaves(other)))


def test_a_free_batch_may_have_another_length() -> None:
    program, _ = small("linear", dynamic_batch=True)
    longer = program.inputs.map(lambda tensor: torch.cat([tensor, tensor]))

    (output,) = pytree.tree_leaves(ALL.lower(program).run(longer))

    (reference,) = outputs_of(program.module, longer)
    assert output.shape == reference.shape


def test_lowering_leaves_no_trace_and_no_file(
    capfd: pytest.CaptureFixture[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, _ = small("linear")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    watch = Watch()

    lowered = ALL.lower(program)
    lowered.run(program.inputs)
    lowered.ran()

    assert watch.restore() == ()
    assert os.listdir(str(tmp_path)) == []  # noqa: PTH208 - names are all that is needed
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_what_is_not_installed_is_told_with_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    why = ALL.missing()

    assert why is not None
    assert why.startswith(f"{package} cannot be imported")
    assert why.endswith('; try: pip install "qatrix[onnx]"')


def test_an_old_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.pipelines.runtimes.onnxruntime.RELEASE", (2, 5))

    why = ALL.missing()

    assert why is not None
    assert why.endswith("exports no quantized program to ONNX; torch 2.6 and later do")
