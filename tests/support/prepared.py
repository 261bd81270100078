"""A project in which the documentation's commands find what they name: cases, folders, runs, modules and files."""

from __future__ import annotations

import functools
import shutil
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import yaml
from safetensors.numpy import save_file

from qatrix.claims import Expectation, Transcript
from qatrix.declare.expected import ExpectationTable
from qatrix.declare.load import load
from qatrix.outcomes import CheckOutcome, Record
from support.lowerings import make_deployed
from support.pages import ROOT, blocks
from support.project import ENVIRONMENT, NOW, Project, ended_with, exact
from support.records import make_comparison, make_error, make_outcome

if TYPE_CHECKING:
    from qatrix.declare.spec import Case

# The suite whose cases differ, as they do in fact.
DIFFERS: Final = "conv_transpose_numerics"
# Of the shipped suites those whose cases the pages name; the others would cost time and show nothing more.
_SUITES: Final = {
    "conv": ("*",),
    "conv_bn": ("*",),
    "conv_transpose_bn": ("*",),
    "deployed": ("deployed", "deployed_packaged", "deployed_on_executorch"),
}
# Nor do patterns that none of these has.
_UNUSED: Final = ("activation_functions", "activations_in_place", "batch_norms", "pools", "torchvision", "transformers")
_VOCABULARY: Final = ("quantizers.yaml", "conv_kinds.yaml", "devices.yaml", "tolerances.yaml")
# Suites of the reader's own, each on the page that declares it.
_OWN: Final = {
    "README.md": "my_block",
    "docs/extending.md": "gating",
    "docs/reference.md": "on_phones",
}
# What the cases that differ in `judged` are declared as.
_EXPECTED: Final = f"expected: [{{cases: '{DIFFERS}/*', verdict: diverged, because: they round differently}}]\n"
# `CASE` stands for any case.
_ANY: Final = "suites: {CASE: {axes: {pattern: conv, dim: 2, quantizer: xnnpack_int8_per_channel_ptq}}}\n"
_CHECKOUT: Final = {
    "__init__.py": "",
    "quantization/__init__.py": "",
    "quantization/pt2e/__init__.py": "from .qat_utils import bn_eps\n",
    "quantization/pt2e/qat_utils.py": "bn_eps = {eps}\n",
}
_SUMMARIES: Final = {"diverged": "pt2e and fx differ by 0.5 after convert", "exact": "bit-identical"}


def judged(case: Case, verdict: str | None = None) -> Record:
    """A record with all that the commands show of it: of a deployed case where it ran, of another what differs."""
    verdict = verdict or ("diverged" if case.suite == DIFFERS else "exact")
    if case.runtime is not None:
        deployed = make_deployed(case.case_id)
        return replace(deployed, axes=dict(case.axes), suite=case.suite, source=case.source, seed=case.seed)
    if verdict != "diverged":
        return ended_with(case, verdict, _SUMMARIES.get(verdict, verdict))
    return replace(
        ended_with(case, verdict, _SUMMARIES[verdict]),
        comparisons=(make_comparison("convert", status="diverged", max_abs=0.5, mismatched=6, total=6),),
        pipelines={"pt2e": make_outcome("pt2e"), "fx": make_outcome("fx")},
    )


@functools.cache
def as_expected(paths: tuple[str, ...], allowed: tuple[str, ...]) -> Callable[[Case], Record]:
    """What makes of each case of a matrix the record that the matrix expects; the same ones are read once."""
    loaded = load([Path(path) for path in paths], allowed_modules=allowed)
    assert loaded.matrix is not None, loaded.problems
    table = ExpectationTable(loaded.matrix.expectations, ENVIRONMENT.packages, ENVIRONMENT.cpu)

    def record(case: Case) -> Record:
        found = table.for_case(case.case_id, case.device.name)
        return exact(case) if found is None else _fitting(case, found)

    return record


def _fitting(case: Case, found: Expectation) -> Record:
    """A record that an expectation covers: the failure that it names, and the checks."""
    culprit = found.pipeline or "pt2e"
    error = make_error(found.message or "it fails", type=found.error or "RuntimeError")
    at_fault = {
        "failed": make_outcome(culprit, status="failed", failed_stage=found.stage or "prepare", error=error),
        "unquantized": make_outcome(culprit, quantize_ops=0, dequantize_ops=0, fake_quantizes=0),
    }
    others = {name: make_outcome(name) for name in ("pt2e", "fx") if name != culprit}
    return replace(
        ended_with(case, found.verdict, found.verdict),
        pipelines={**others, culprit: at_fault.get(found.verdict, make_outcome(culprit))},
        checks=tuple(CheckOutcome(name=name, pipeline=culprit, status="failed") for name in found.checks),
    )


def install_examples(folder: Path) -> Path:
    """A folder with the modules and the metadata of the examples, as pip would install them."""
    for package in sorted((ROOT / "examples").glob("*-package")):
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
        points = [
            f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in found.items())
            for group, found in project["entry-points"].items()
        ]
        (metadata / "entry_points.txt").write_text("".join(points))
        for module in package.glob("*.py"):
            shutil.copy(module, folder)
    return folder


def before(block: str, project: Project) -> None:
    """Do what the page does before this block, by hand."""
    if block == "docs/commands.md: 21":  # it begins in an empty folder
        shutil.rmtree(project.path / "matrix")
    elif block == "docs/reference.md: 4":  # the outputs of the phone, and what declares them
        save_file({}, project.path / "matrix/phone.safetensors")
        project.write({"matrix/on_phones.yaml": _own("docs/reference.md", place=1)})
    elif block == "docs/your-model.md: 4":  # another test runs the command that saves the file
        shutil.rmtree(project.path / "matrix")
        project.run("try", "my_package:build", "--calibrate", "data/", "--save", "mine.yaml")


def collaborators(argv: list[str]) -> dict[str, Any]:
    """What stands in for torch beside the pipelines."""
    transcript = Transcript(counts={"conv2d": 1}, order=("conv2d",), graph=("return conv2d(input())",))
    return {
        "reference": lambda path: f"fx of torch 2.5.1, from {path}",
        "transcribe": lambda *_: transcript,
    }


def prepare(project: Project) -> None:
    """Make all that the pages name, in the project's folder and beside it."""
    _declare(project)
    _write_data(project)
    shutil.copytree(ROOT / "matrix", project.path.parent / "theirs/matrix")
    install_examples(project.path.parent / "site")
    _run(project)


def _declare(project: Project) -> None:
    shutil.rmtree(project.path / "matrix")
    shipped, here = ROOT / "matrix", project.path / "matrix"
    shutil.copytree(shipped, here, ignore=shutil.ignore_patterns("expected", "suites"))
    for name in _UNUSED:
        (here / f"patterns/{name}.yaml").unlink()
    project.write({f"matrix/suites/{name}.yaml": _some_suites(name, globs) for name, globs in _SUITES.items()})
    project.write(
        {"matrix/any.yaml": _ANY, "matrix/expected.yaml": _EXPECTED}
        | {f"matrix/{suite}.yaml": _own(page) for page, suite in _OWN.items()}
    )
    project.write({f"my_matrix/{name}": (shipped / name).read_text() for name in _VOCABULARY})
    project.write({"my_matrix/mine.yaml": _own("README.md")})
    project.write({"my_package.py": _own("docs/your-model.md", "python")})


def _some_suites(name: str, globs: tuple[str, ...]) -> str:
    """What a shipped file declares of the suites that the globs name."""
    suites = yaml.safe_load((ROOT / f"matrix/suites/{name}.yaml").read_text(encoding="utf-8"))["suites"]
    found = {suite: keys for suite, keys in suites.items() if any(fnmatch(suite, glob) for glob in globs)}
    return yaml.safe_dump({"suites": found}, sort_keys=False)


def _own(page: str, language: str = "yaml", place: int = 0) -> str:
    """A block of a page, by default its first: what it declares."""
    return [text for kind, text in blocks((ROOT / page).read_text(encoding="utf-8")) if kind == language][place]


def _write_data(project: Project) -> None:
    (project.path / "data").mkdir()
    np.savez(project.path / "data/batches.npz", x=np.zeros((2, 1, 3, 8, 8), dtype=np.float32))
    save_file({"w": np.zeros(1, dtype=np.float32)}, project.path / "w.safetensors")
    for name in ("examples", "docs"):
        (project.path / name).mkdir()
    for folder in sorted((ROOT / "examples").iterdir()):
        (project.path / "examples" / folder.name).symlink_to(folder, target_is_directory=True)
    shutil.copy(ROOT / "docs/findings.json", project.path / "docs")
    shutil.copy(ROOT / "docs/findings.json", project.path / "findings.json")


def check_out(folder: Path, eps: str) -> None:
    """A checkout of a torchao with this constant."""
    for name, text in _CHECKOUT.items():
        path = folder / "torchao" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.format(eps=eps))


def _run(project: Project) -> None:
    """Make the runs that the pages read, the same ones on three releases of torch and on three nights."""
    named = ("conv_bn*", "conv_no_bias", DIFFERS, "deployed", "deployed_packaged", "deployed_on_executorch")
    everything = ("run", "--fail-on", "never", *(word for suite in named for word in ("--case", suite)))
    project.execution.records = judged
    project.run(*everything)
    for place in ("shards/1", "main"):
        shutil.copytree(project.path / "reports", project.path / place, symlinks=True)
    shutil.copy(project.path / "main/latest/run.sqlite", project.path / "main/run.sqlite")
    releases: Mapping[str, str] = {"torch25": "2.5.1", "torch29": "2.9.1", "torch215": "2.15.0"}
    few = ("run", "--case", "conv_bn_fusion", "--fail-on", "never", "--fresh")
    for name, version in releases.items():
        environment = replace(ENVIRONMENT, packages={**ENVIRONMENT.packages, "torch": version})
        verdict = "exact" if name == "torch25" else "diverged"
        project.execution.records = functools.partial(judged, verdict=verdict)
        project.run(*few, "--out", name, environment=lambda found=environment: found)
    project.execution.records = judged
    for night in range(3):
        project.run(*few, "--out", "nightly", now=lambda night=night: NOW + timedelta(days=night))
    # What was kept would be taken over by runs of other torches.
    for cache in project.path.glob("cache-*"):
        shutil.rmtree(cache)
