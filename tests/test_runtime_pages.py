"""The pages about runtimes: every cause has its row, and the steps that bring in a device's outputs work."""

from __future__ import annotations

import ast
import builtins
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.judge.lowering.causes import RECOGNISERS
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.models import build_model
from qatrix.pipelines.torchenv import environment
from qatrix.report.repro import script_text
from qatrix.report.store import Store
from qatrix.resources import folder
from support.cases import source_of, written_cases

DOCS = Path(__file__).parents[1] / "docs"
DEVICE = (DOCS / "reference.md").read_text(encoding="utf-8").partition("\n## Outputs from a device\n")[2]

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("recogniser", RECOGNISERS, ids=lambda item: item.__name__)
def test_every_cause_of_a_departure_has_its_row(recogniser: Callable[..., object]) -> None:
    assert f"\n| `{recogniser.__name__}` | " in (DOCS / "runtimes.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The blocks of a language in the steps."""
    return re.findall(rf"```{language}\n(.*?)```", DEVICE, flags=re.DOTALL)


@pytest.fixture(name="declared")
def _declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    """The case of the phone, in a matrix beside the shipped one; the current folder is that of the steps."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folder("matrix"), "matrix")
    save_file({}, "matrix/phone.safetensors")
    Path("matrix/phone.yaml").write_text(blocks("yaml")[1], encoding="utf-8")
    loaded = load([Path("matrix")])
    assert loaded.matrix is not None, loaded.problems
    (case,) = select(loaded.matrix, Selection(cases=("on_phones",), only={"runtime": ("phone",)})).cases
    return case


def run_elsewhere(case: Case) -> None:
    """Write what a device would be given and would give, were it as good as the converted program."""
    kind, inputs = PIPELINES["pt2e"], build_batches(case).first
    captured = kind.capture(build_model(case).eval(), inputs, dynamic_batch=False)()
    prepared = kind.prepare(captured, inputs, case.quantizer, skip_modules=())
    with torch.no_grad():
        inputs.call(prepared)
        output: Any = inputs.call(kind.convert(prepared, case.quantizer))
    inputs.tensors[0].numpy().tofile("input0.bin")
    output.numpy().tofile("output-0.bin")


def test_the_outputs_of_a_device_come_in_by_the_steps_of_the_page(declared: Case) -> None:
    run_elsewhere(declared)
    subprocess.run([sys.executable, "-c", blocks("python")[1]], check=True)
    code = run(["run", "--case", "on_phones", "--only", "runtime=phone", "--workers", "0"], Collaborators())
    with Store.reading(Path("reports/latest/run.sqlite")) as store:
        (record,) = store.records()

    assert (code, record.case_id, record.verdict) == (0, declared.case_id, "exact"), record.summary
    assert [(item.left, item.right) for item in record.comparisons] == [("pt2e", "pt2e on recorded")]
    assert record.pipelines["pt2e"].lowering is not None
    assert record.pipelines["pt2e"].lowering.notes == ()


def test_the_lines_that_are_added_to_the_script_name_what_it_defines(tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, blocks("yaml")[0], "on_phones")
    script, added = ast.parse(script_text(source_of(case), environment=environment())), ast.parse(blocks("python")[0])
    known = {*dir(builtins), *defined(script), *defined(added)}

    assert {node.id for node in ast.walk(added) if isinstance(node, ast.Name)} - known == set()
    assert {"exported", "converted", "inputs"} <= set(defined(script))


def defined(module: ast.Module) -> Iterator[str]:
    """The names that the lines of a module, and not those of its functions, give to something."""
    for statement in module.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in statement.names)
        else:
            stored = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
            yield from (node.id for node in stored if isinstance(node.ctx, ast.Store))
