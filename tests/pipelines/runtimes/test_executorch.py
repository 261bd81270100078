"""ExecuTorch: what it computes, where, and what it leaves behind."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from qatrix.execute.traces import Watch
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes.executorch import ExecuTorch, runtime
from support.converted import converted, here, nested, outputs_of, small, sqnr

pytestmark = pytest.mark.torch
XNNPACK = runtime({"partitioner": "xnnpack"})


@pytest.fixture(autouse=True)
def _here() -> None:
    here(XNNPACK)


# As measured for the reference itself; a step of the output is about a hundredth of its range.
@pytest.mark.parametrize("name", ["conv_bn_relu", "linear", "add", "mul", "cat"])
def test_a_small_model_runs_in_integers_as_near_to_float_as_its_reference(name: str) -> None:
    program, model = small(name, "executorch")

    lowered = XNNPACK.lower(program)
    (output,) = pytree.tree_leaves(lowered.run(program.inputs))
    ran = lowered.ran()

    (exact,), (reference,) = outputs_of(model, program.inputs), outputs_of(program.module, program.inputs)
    assert sqnr(exact, output) > sqnr(exact, reference) - 0.5
    assert ran.float_ops == ()
    assert (ran.partitions, ran.left_over) == (1, 0)
    assert {kernel.arithmetic for kernel in ran.kernels} == {"integers", "none"}
    assert ran.size_bytes is not None
    assert ran.size_bytes > 1000


def test_two_runs_give_the_same_bits_whatever_ran_between() -> None:
    program, _ = small("conv_bn_relu", "executorch")
    lowered, again = XNNPACK.lower(program), XNNPACK.lower(program)

    first = lowered.run(program.inputs)
    other = lowered.run(program.inputs.map(lambda tensor: tensor * 0.5))

    assert isinstance(first, torch.Tensor)
    assert isinstance(other, torch.Tensor)
    assert not torch.equal(first, other)
    assert torch.equal(first, lowered.run(program.inputs))  # type: ignore[arg-type]  # it is a tensor, too
    assert torch.equal(first, again.run(program.inputs))  # type: ignore[arg-type]  # it is a tensor, too


def test_a_mean_that_drops_its_axes_is_left_over_and_cuts_the_program_in_two() -> None:
    program, _ = small("mean", "executorch")

    ran = XNNPACK.lower(program).ran()

    assert [(op.op, op.layer) for op in ran.float_ops] == [("mean", "mean")]
    assert (ran.partitions, ran.left_over) == (2, 1)
    assert ran.notes == (
        "part 1 of 2 computes convolution",
        "part 2 of 2 computes linear",
        "left over between and around the parts: mean",
    )
    layers = {kernel.name: kernel.layers for kernel in ran.kernels if kernel.arithmetic == "integers"}
    assert layers == {
        "XnnpackBackend: aten.convolution.default": ("conv",),
        "XnnpackBackend: aten.linear.default": ("head",),
    }


def test_a_convolution_of_three_dimensions_fails_with_the_reason_that_the_runtime_prints(
    capfd: pytest.CaptureFixture[str],
) -> None:
    program, _ = small("conv3d", "executorch")

    lowered = XNNPACK.lower(program)

    assert [op.op for op in lowered.ran().float_ops] == ["conv3d"]
    with pytest.raises(RuntimeError, match="Expect input tensor to be 3-D or 4-D, but got, 5"):
        lowered.run(program.inputs)
    assert capfd.readouterr().err == ""


def test_outputs_come_in_the_structure_of_the_program() -> None:
    program, _ = nested("executorch")

    output = XNNPACK.lower(program).run(program.inputs)

    reference = program.inputs.call(program.module)
    assert pytree.tree_structure(output) == pytree.tree_structure(reference)
    for one, other in zip(pytree.tree_leaves(output), pytree.tree_leaves(reference)):
        torch.testing.assert_close(one, other, atol=0.1, rtol=0)


def test_a_free_batch_may_be_smaller_than_the_one_that_its_memory_is_planned_for() -> None:
    program, _ = small("linear", "executorch", dynamic_batch=True)
    lowered = XNNPACK.lower(program)
    shorter = program.inputs.map(lambda tensor: tensor[:3])

    output = lowered.run(shorter)

    (reference,) = outputs_of(program.module, shorter)
    torch.testing.assert_close(output, reference, atol=0.05, rtol=0)
    with pytest.raises(RuntimeError, match="maximum capacity of 64 elements to 128 elements"):
        lowered.run(program.inputs.map(lambda tensor: torch.cat([tensor, tensor])))


def test_without_a_partitioner_nothing_is_expected_in_integers() -> None:
    program, _ = small("linear", "executorch")
    plain = runtime({"partitioner": "none"})

    lowered = plain.lower(program)
    ran = lowered.ran()

    (output,) = pytree.tree_leaves(lowered.run(program.inputs))
    (reference,) = outputs_of(program.module, program.inputs)
    torch.testing.assert_close(output, reference)
    assert (ran.partitions, ran.delegated, ran.float_ops) == (0, 0, ())
    assert "without a partitioner" in ran.notes[0]
    assert {kernel.arithmetic for kernel in ran.kernels} == {"float", "none"}


def test_what_the_quantizer_leaves_in_float_is_no_fault_of_the_runtime() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 4))
    program, _ = converted(model, Inputs.of(torch.randn(4, 8)), "executorch")

    ran = XNNPACK.lower(program).ran()

    assert [kernel.layers for kernel in ran.kernels if kernel.arithmetic == "float"] == [("1",)]
    assert ran.float_ops == ()


def test_lowering_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    program, _ = small("linear", "executorch")
    watch = Watch()

    XNNPACK.lower(program).run(program.inputs)

    assert watch.restore() == ()
    assert capfd.readouterr() == ("", "")


def test_the_program_stays_as_it_is() -> None:
    program, _ = small("conv_bn_relu", "executorch")
    (before,) = outputs_of(program.module, program.inputs)

    XNNPACK.lower(program)

    (after,) = outputs_of(program.module, program.inputs)
    assert torch.equal(before, after)


def test_the_version_is_executorchs() -> None:
    assert XNNPACK.version() is not None


def test_what_is_not_installed_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch.exir", None)

    why = ExecuTorch(delegates=True).missing()

    assert why is not None
    assert why.startswith("executorch.exir cannot be imported")
    assert why.endswith('; try: pip install "qatrix[executorch]"')
