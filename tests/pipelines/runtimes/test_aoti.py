"""AOTInductor: what it computes in integers, and what it leaves behind."""

from __future__ import annotations

import os
import tempfile

import pytest
import torch

from qatrix.execute.traces import Watch
from qatrix.pipelines.runtimes.aoti import runtime
from support.converted import Quantizer, here, outputs_of, small

AOTI = runtime({})


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.parametrize("by", ["xnnpack", "x86"])
def test_it_computes_linear_layers_in_integers_whosever_they_are_and_leaves_nothing_behind(
    by: Quantizer, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(AOTI)
    program, _ = small("linear", by)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    watch = Watch()

    lowered = AOTI.lower(program)
    output = lowered.run(program.inputs)
    ran = lowered.ran()

    assert watch.restore() == ()
    assert isinstance(output, torch.Tensor)
    torch.testing.assert_close(output, outputs_of(program.module, program.inputs)[0], atol=0.02, rtol=0)
    layers = [kernel for kernel in ran.kernels if "linear" in kernel.name or "addmm" in kernel.name]
    assert [(kernel.arithmetic, kernel.count) for kernel in layers] == [("integers", 2)]
    assert ran.notes == ()
    del lowered
    assert os.listdir(str(tmp_path)) == []  # noqa: PTH208 - names are all that is needed


def test_a_machine_without_a_compiler_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        msg = "No working C++ compiler found\nin a list of names"
        raise RuntimeError(msg)

    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)

    assert AOTI.missing() == (
        "AOTInductor finds no C++ compiler (No working C++ compiler found); install one, such as: apt-get install g++"
    )


def test_an_old_torch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qatrix.pipelines.runtimes.aoti.RELEASE", (2, 6))

    assert AOTI.missing() == f"AOTInductor is used on torch 2.8 and later; this is torch {torch.__version__}"
