"""doctor: what this environment has, and what is missing."""

from __future__ import annotations

import sys
from importlib.metadata import version as importing_version

import pytest
import torch

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators, _environment
from qatrix.declare.spec import RuntimeUse
from qatrix.errors import EnvironmentUnusable
from qatrix.outcomes import Environment
from qatrix.pipelines import fx, torchenv
from qatrix.pipelines.pt2e import Exporting
from qatrix.pipelines.torchenv import PackageMissing, importing, inventory
from qatrix.quantizers import BUILT_IN
from qatrix.runtimes import BUILT_IN as RUNTIMES
from support.distributions import install
from support.project import Project

pytestmark = pytest.mark.torch


def test_doctor_tells_versions_engines_and_pipelines(project: Project) -> None:
    ended = project.run("doctor")
    lines = ended.out.splitlines()

    assert ended.code == 0
    assert f"torch {torch.__version__.partition('+')[0]}" in lines
    quantizers = [f"quantizer {name}" for name in BUILT_IN]
    runtimes = [f"runtime {name}" for name in RUNTIMES]
    assert [line.partition(": ")[0] for line in lines[-7 - len(quantizers) - len(runtimes) :]] == [
        "quantized engines",
        f"models are captured with {torchenv.capture_name()}",
        "pipeline pt2e",
        "pipeline fx",
        "pipeline pt2e_torch_ao",
        *quantizers,
        *runtimes,
        "pattern cache",
        "nothing is missing",
    ]
    absent = [kind for kind in ("cuda", "xpu", "mps") if torchenv.device_missing(kind) is not None]
    assert [line.partition(": ")[0] for line in lines if " device here: " in line] == [
        f"device {kind}" for kind in absent
    ]
    assert "pipeline pt2e: ready\npipeline fx: ready\n" in ended.out
    assert f"quantizer X86InductorQuantizer: of torchao {importing_version('torchao')}\n" in ended.out
    assert "pattern cache: applies\n" in ended.out


def test_doctor_lists_registered_quantizers_by_a_name_that_works_and_imports_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, point in (("one", "Shared = one_code:Q"), ("two", "Shared = two_code:Q\nXNNPACKQuantizer = two_code:Q")):
        install(project.path / name, name, point, code="raise SystemExit(9)" if name == "one" else None)
        monkeypatch.syspath_prepend(project.path / name)
    ended = project.run("doctor")

    assert ended.code == 0
    assert "quantizer one.Shared: registered by one 1.0 as one_code:Q\n" in ended.out
    assert "quantizer two.Shared: registered by two 1.0 as two_code:Q, whose package is not found\n" in ended.out
    assert "quantizer two.XNNPACKQuantizer: registered by two 1.0 as two_code:Q, whose" in ended.out


def test_doctor_lists_registered_pipelines_runtimes_and_models_and_imports_none(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, group, point in (
        ("ways", "qatrix.pipelines", "fx = ways_code:Fx"),
        ("chips", "qatrix.runtimes", "native = chips_code:Chip"),
        ("nets", "qatrix.models", "net = nets_code:net"),
    ):
        install(project.path / name, name, point, code="raise SystemExit(9)", group=group)
        monkeypatch.syspath_prepend(project.path / name)
    ended = project.run("doctor")

    assert ended.code == 0
    # The short name is that of a built-in.
    assert "pipeline ways.fx: registered by ways 1.0 as ways_code:Fx\n" in ended.out
    assert "runtime chips.native: registered by chips 1.0 as chips_code:Chip\n" in ended.out
    assert "model net: registered by nets 1.0 as nets_code:net\n" in ended.out


def test_doctor_says_which_runtimes_are_here_and_how_to_come_by_the_others(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Known:
        def __init__(self, use: RuntimeUse) -> None:
            self.name = use.runtime
            assert use.options.keys() == RUNTIMES[self.name].options.keys()

        def missing(self) -> str | None:
            return "ExecuTorch is not installed; pip install it" if self.name == "executorch" else None

        def version(self) -> str | None:
            return "1.32.0" if self.name == "onnxruntime" else None

    monkeypatch.setattr("qatrix.pipelines.runtimes.runtime_of", Known)
    ended = project.run("doctor")

    assert ended.code == 0
    assert "runtime executorch: ExecuTorch is not installed; pip install it\n" in ended.out
    assert f"runtime onnxruntime: {RUNTIMES['onnxruntime'].about}; version 1.32.0\n" in ended.out
    assert f"runtime exported: {RUNTIMES['exported'].about}; it comes with torch\n" in ended.out
    assert ended.out.endswith("nothing is missing\n")


def test_doctor_says_how_to_come_by_a_quantizer_that_is_not_here(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    monkeypatch.delitem(sys.modules, "executorch.backends.xnnpack.quantizer.xnnpack_quantizer", raising=False)
    ended = project.run("doctor")

    assert ended.code == 0
    line = next(line for line in ended.out.splitlines() if line.startswith("quantizer executorch.XNNPACKQuantizer: "))
    assert line.endswith('; try: pip install "qatrix[executorch]"')


def test_doctor_names_a_missing_pipeline(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exporting, "missing", lambda _: "torchao cannot be imported; try: pip install torchao")
    ended = project.run("doctor")

    assert ended.code == 0
    assert "pipeline pt2e: torchao cannot be imported; try: pip install torchao\n" in ended.out


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.18.0", "torchao 0.18.0, cannot be used: cannot import name 'ScalingType'\n"),
        (None, "torchao is not installed\n"),
    ],
    ids=["one that does not import", "none"],
)
def test_doctor_names_the_command_that_brings_a_torchao(
    project: Project, monkeypatch: pytest.MonkeyPatch, version: str | None, told: str
) -> None:
    def imported(name: str) -> None:
        if name.startswith("torchao"):
            msg = "torchao cannot be imported"
            raise PackageMissing(msg) from ImportError("cannot import name 'ScalingType'")

    versions = {"torchao": version}
    monkeypatch.setattr(inventory, "imported", imported)
    monkeypatch.setattr(inventory, "package_version", lambda name: versions.get(name, "1.0"))
    monkeypatch.setattr(inventory, "RELEASE", (2, 9))
    monkeypatch.setattr(importing, "RELEASE", (2, 9))
    ended = project.run("doctor")

    assert told in ended.out
    assert ended.out.endswith("install what is missing with:\npip install torchao==0.17.0\n")


def test_doctor_misses_no_torchao_where_torch_has_pt2e(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "package_version", lambda name: None if name == "torchao" else "2.5.1")
    monkeypatch.setattr(inventory, "RELEASE", (2, 5))
    ended = project.run("doctor")

    assert "torchao is not installed, not used: torch " in ended.out
    assert ended.out.endswith("nothing is missing\n")


def test_where_no_pipeline_is_ready_the_exit_code_is_3(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Exporting, "missing", lambda _: "gone")
    monkeypatch.setattr(fx, "missing", lambda: "gone")
    ended = project.run("doctor")

    assert ended.code == 3
    assert "error: no pipeline can run here" in ended.err


def test_the_real_environment_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"], Collaborators()) == 0
    assert "device cpu: " in capsys.readouterr().out


def test_doctor_tells_versions_where_torch_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> Environment:
        msg = "torch cannot be imported: libcudart.so is missing"
        raise EnvironmentUnusable(msg)

    monkeypatch.setattr("qatrix.cli.environments.PACKAGES", ("typer", "not-a-package"))
    code = run(["doctor"], Collaborators(environment=broken))
    printed = capsys.readouterr()

    assert code == 3
    assert ", python 3." in printed.out
    assert "not-a-package is not installed; install it with: pip install torch" in printed.out
    assert printed.err == "error: torch cannot be imported: libcudart.so is missing\n"


def test_torch_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "qatrix.pipelines.torchenv", None)
    with pytest.raises(EnvironmentUnusable, match="pip install torch torchvision torchao"):
        _environment()
