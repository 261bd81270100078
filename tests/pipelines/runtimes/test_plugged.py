"""Runtimes that are not built in are held to what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from qatrix.declare.spec import Registration, RuntimeUse
from qatrix.lowerings import Kernel, Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, Runtime, runtime_of
from qatrix.pipelines.runtimes.accounts import RuntimeFault
from qatrix.pipelines.torchenv import PackageMissing
from support import specs
from support.distributions import install

OWN = "support.own_runtimes"
X = torch.ones(2, 3)


def own(kind: str, options: Mapping[str, object] | None = None) -> Runtime:
    return runtime_of(RuntimeUse(runtime=f"{OWN}.{kind}", options=options or {}))


def program() -> Program:
    model = nn.Linear(3, 4)
    return Program(module=model, inputs=Inputs.of(X), quantizer=specs.quantizer())


def test_what_it_gives_is_what_its_callable_returns_and_the_program_and_the_inputs_stay_as_they_are() -> None:
    given = program()
    weight = given.module.weight.clone()  # type: ignore[operator]  # a parameter
    before = given.module(X)
    found = own("Doubling").lower(given).run(given.inputs)

    # The copy has twice the parameters.
    assert torch.equal(found, 4 * before)  # type: ignore[arg-type]  # a tensor
    assert torch.equal(given.module.weight, weight)  # type: ignore[arg-type]  # a parameter
    assert torch.equal(given.inputs.args[0], torch.ones(2, 3))


def test_no_gradients_are_kept() -> None:
    given = program()
    found: Any = own("Accounting").lower(given).run(given.inputs)

    assert not found.requires_grad


def test_one_that_says_nothing_of_what_ran_is_believed_to_have_nothing_to_say() -> None:
    assert own("Doubling").lower(program()).ran() == Ran()
    assert own("Accounting").lower(program()).ran() == Ran()


def test_what_ran_is_read() -> None:
    account = {"kernels": (("gemm", "integers", 2, ("a",)),), "size_bytes": 10}

    assert own("Accounting", {"account": account}).lower(program()).ran() == Ran(
        kernels=(Kernel(name="gemm", arithmetic="integers", count=2, layers=("a",)),), size_bytes=10
    )


def test_an_account_that_cannot_be_read_is_its_fault() -> None:
    lowered = own("Accounting", {"account": {"kernel": ()}}).lower(program())

    with pytest.raises(RuntimeFault, match=f"^ran of what {OWN}.Accounting lowered has 'kernel'; expected kernels, "):
        lowered.ran()


def test_its_options_cannot_be_changed() -> None:
    made: Any = own("Doubling", {"cores": {"first": 1}})

    with pytest.raises(TypeError):
        made._plugin().options["cores"]["first"] = 2


def test_it_may_say_what_is_missing() -> None:
    assert own("Absent").missing() == "no accelerator is\\nconnected; connect one"
    assert own("Doubling").missing() is None


@pytest.mark.parametrize("kind", ["NeverMade", "NoRuntime", "gone", "TakesNothing"])
def test_what_is_wrong_with_it_is_told_when_it_lowers_and_not_as_something_missing(kind: str) -> None:
    assert own(kind, {"cores": 4}).missing() is None


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("NoRuntime", f"{OWN}.NoRuntime is no runtime: it has no method lower; expected a class with lower"),
        ("NOT_A_CLASS", f"{OWN}.NOT_A_CLASS is no runtime: it cannot be called; expected a class with lower"),
        (
            "TakesNothing",
            f"{OWN}.TakesNothing cannot be called with its options: TakesNothing() takes no arguments; expected a class that can",
        ),
        (
            "GivesNothing",
            f"lower of {OWN}.GivesNothing returned nothing; expected a torch.nn.Module, or something else to call",
        ),
        (
            "GivesText",
            f"lower of {OWN}.GivesText returned an object of builtins.str; expected a torch.nn.Module, or something else to call",
        ),
    ],
)
def test_a_fault_is_told_with_what_was_expected(kind: str, fault: str) -> None:
    with pytest.raises(RuntimeFault) as caught:
        own(kind).lower(program())

    assert str(caught.value) == fault


def test_what_its_own_code_raises_stays_what_it_is() -> None:
    with pytest.raises(ValueError, match="no such option as cores"):
        own("NeverMade", {"cores": 4}).lower(program())


def test_a_class_that_is_not_there_is_an_error_of_the_users_path() -> None:
    with pytest.raises(AttributeError, match="gone"):
        own("gone").lower(program())


def test_a_registered_one_that_does_not_import_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(install(tmp_path, "broken", code="raise OSError('no library')"))
    known = Registration(name="tpu", module="broken_code", attribute="Tpu", distribution="broken", version="2.1")
    broken = runtime_of(RuntimeUse(runtime="tpu", options={}, registration=known))
    reason = "broken_code:Tpu, which broken 2.1 registers as a runtime, cannot be imported (OSError: no library)"

    assert broken.missing() == reason
    assert broken.version() is None
    with pytest.raises(PackageMissing):
        broken.lower(program())


def test_its_version_is_that_of_its_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from support.own_runtimes import Doubling as Tpu\n"
    monkeypatch.syspath_prepend(install(tmp_path, "works", code=code))
    known = Registration(name="tpu", module="works_code", attribute="Tpu", distribution="works", version="2.1")

    assert runtime_of(RuntimeUse(runtime="tpu", options={}, registration=known)).version() == "2.1"
    assert own("Doubling").version() is None
