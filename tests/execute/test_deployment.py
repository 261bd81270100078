"""A converted model in a runtime: stages, comparisons, checks, and what becomes of a runtime that fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from qatrix.declare.spec import Case, RuntimeSpec, RuntimeUse
from qatrix.execute.case import run_case
from qatrix.lowerings import FloatOp, Kernel, Ran
from qatrix.outcomes import RUNTIME_STAGES, Record
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.torchenv import PackageMissing
from support.cases import written_cases
from support.specs import source

pytestmark = pytest.mark.torch

STEP = 0.0061
Change = Callable[[Tensor], Tensor]


@dataclass
class Fake:
    """A runtime that runs what it is given and changes the output."""

    change: Change = lambda tensor: tensor
    facts: Ran = field(default_factory=Ran)
    lacks: str | None = None
    error: Exception | None = None
    given: list[Program] = field(default_factory=list)

    def missing(self) -> str | None:
        return self.lacks

    def version(self) -> str | None:
        return "1.2"

    def lower(self, program: Program) -> Fake:
        self.given.append(program)
        if self.error is not None:
            raise self.error
        return self

    def run(self, inputs: Inputs) -> object:
        output: Any = inputs.call(self.given[-1].module)
        return self.change(output)

    def ran(self) -> Ran:
        return self.facts


@pytest.fixture(name="deployed")
def _deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Record]:
    """Runs a case of a pattern whose pipelines are lowered to a fake runtime."""

    def run(
        fake: Fake, *, kind: str = "executorch", pipelines: tuple[str, ...] = ("pt2e", "fx"), **axes: str
    ) -> Record:
        named = {"pattern": "conv_bn_relu", "quantizer": "xnnpack_int8_per_channel_ptq", **axes}
        named |= {"dim": "2"} if named["pattern"].startswith("conv") else {}
        text = ", ".join(f"{name}: {value}" for name, value in named.items())
        (case,) = written_cases(tmp_path, f"suites: {{s: {{axes: {{{text}}}}}}}")
        for place in ("qatrix.execute.deployment.runtime_of", "qatrix.execute.case.runtime_of"):
            monkeypatch.setattr(place, lambda _: fake)
        return run_case(_with_runtime(case, kind, pipelines), diagnose="never")

    return run


def _with_runtime(case: Case, kind: str, pipelines: tuple[str, ...]) -> Case:
    uses = {name: RuntimeUse(runtime=kind, options={"partitioner": "xnnpack"}) for name in pipelines}
    spec = RuntimeSpec(name="phone", about="", uses=uses, source=source())
    return replace(case, runtime=spec, compare=("lowered",), pipelines=pipelines)


def statuses(record: Record) -> dict[tuple[str, str], str]:
    return {(item.left, item.right): item.status for item in record.comparisons}


def test_each_runtime_is_compared_with_its_own_reference_and_with_the_other(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake())

    assert record.verdict == "exact"
    assert statuses(record) == {
        ("pt2e", "pt2e on executorch"): "exact",
        ("fx", "fx on executorch"): "exact",
        ("pt2e on executorch", "fx on executorch"): "exact",
    }
    assert {item.at for item in record.comparisons} == {"lowered"}


def test_the_stages_and_the_lowering_are_in_the_record(deployed: Callable[..., Record]) -> None:
    kernels = (Kernel(name="qconv", arithmetic="integers"),)
    record = deployed(Fake(facts=Ran(kernels=kernels, size_bytes=7)))

    for outcome in record.pipelines.values():
        assert tuple(stage.name for stage in outcome.stages)[-2:] == RUNTIME_STAGES
        assert outcome.lowering is not None
        assert (outcome.lowering.runtime, outcome.lowering.version) == ("executorch", "1.2")
        assert dict(outcome.lowering.options) == {"partitioner": "xnnpack"}
        assert outcome.lowering.sqnr_db == outcome.sqnr_db
        assert outcome.lowering.ran == Ran(kernels=kernels, size_bytes=7)


def test_one_step_off_is_close_and_two_are_not(deployed: Callable[..., Record]) -> None:
    one = deployed(Fake(change=lambda tensor: tensor + STEP))
    two = deployed(Fake(change=lambda tensor: tensor + 2 * STEP))

    assert one.verdict == "close"
    assert two.verdict == "diverged"
    assert two.summary.startswith("pt2e on executorch differs from its reference by 0.0122 (2 quantization steps)")
    assert re.search(r"SQNR [\d.]+ dB for pt2e on executorch, [\d.]+ dB for its reference", two.summary)


def test_the_runtimes_are_compared_with_one_another_within_what_each_may_be_off(
    deployed: Callable[..., Record],
) -> None:
    def away(tensor: Tensor) -> Tensor:
        signs.append(-signs[-1])
        return tensor + signs[-1] * STEP

    # Each is run twice, so that the second pipeline's first run is the third.
    signs = [1]
    record = deployed(Fake(change=away))

    assert statuses(record)["pt2e", "pt2e on executorch"] == "close"
    assert any(check.name == "deterministic_eval" and check.status == "failed" for check in record.checks)


@pytest.mark.parametrize(
    "change", [lambda tensor: tensor.to(torch.complex64), Tensor.to_sparse], ids=["complex", "sparse"]
)
def test_outputs_that_cannot_be_compared_are_not_called_two_different_ones(
    deployed: Callable[..., Record], change: Callable[[Tensor], Tensor]
) -> None:
    record = deployed(Fake(change=change))

    assert record.verdict == "diverged"
    assert not [check for check in record.checks if check.name == "deterministic_eval" and check.status == "failed"]


def test_a_pipeline_alone_is_compared_with_its_reference(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake(), pipelines=("pt2e",))

    assert record.verdict == "exact"
    assert list(statuses(record)) == [("pt2e", "pt2e on executorch")]


def test_what_is_quantized_and_runs_in_float_fails_a_check_by_layer(deployed: Callable[..., Record]) -> None:
    left = FloatOp(op="convolution", layer="conv", because="no kernel takes it")
    record = deployed(Fake(facts=Ran(float_ops=(left,))))

    assert record.verdict == "check_failed"
    told = {check.message for check in record.checks if check.status == "failed"}
    assert told == {"conv: convolution is quantized, but runs in floating point (no kernel takes it)"}


def test_a_runtime_that_computes_as_its_reference_does_has_no_such_check(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake(facts=Ran(float_ops=(FloatOp(op="convolution"),))), kind="exported")

    assert record.verdict == "exact"
    assert not [check for check in record.checks if check.name == "runs_in_integers"]


def test_a_runtime_that_is_not_here_makes_the_case_unavailable(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake(lacks="ExecuTorch is not installed"))

    assert record.verdict == "unavailable"
    assert record.reason == "pt2e: ExecuTorch is not installed; fx: ExecuTorch is not installed"
    assert not record.pipelines["pt2e"].stages


def test_what_lowering_lacks_makes_the_case_unavailable(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake(error=PackageMissing("no g++ here")))

    assert record.verdict == "unavailable"


def test_what_lowering_raises_is_of_the_stage(deployed: Callable[..., Record]) -> None:
    record = deployed(Fake(error=RuntimeError("Missing out variants")))

    assert record.verdict == "failed"
    assert record.summary.startswith("pt2e failed at lower: RuntimeError: Missing out variants; fx failed at lower")
    assert record.pipelines["pt2e"].sqnr_db is not None


def test_what_the_lowered_model_raises_is_of_its_stage(deployed: Callable[..., Record]) -> None:
    def broken(tensor: Tensor) -> Tensor:
        raise RuntimeError(tensor.dtype)

    assert deployed(Fake(change=broken)).pipelines["fx"].failed_stage == "lowered_forward"


def test_a_free_batch_must_be_free_in_the_runtime(deployed: Callable[..., Record]) -> None:
    def first_only(tensor: Tensor) -> Tensor:
        return tensor[:1]

    linear = {"pattern": "two_linear", "dynamic_batch": "true"}
    free = deployed(Fake(), **linear)
    fixed = deployed(Fake(change=first_only), **linear)

    assert free.verdict == "exact"
    failed = {check.message for check in fixed.checks if check.status == "failed"}
    assert any("a batch twice as long gives other outputs on executorch" in str(message) for message in failed)


def test_native_takes_the_prepared_program_as_it_was_before_convert(deployed: Callable[..., Record]) -> None:
    fake = Fake()
    deployed(fake, kind="native", pipelines=("fx",))

    (program,) = fake.given
    names = {type(module).__name__ for module in program.module.modules()}
    assert any("Observer" in name for name in names), names
    assert torch.is_tensor(program.inputs.args[0])
