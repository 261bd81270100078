"""The snippets of the documentation that need something beside them, with it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from qatrix.cli.sides import place_of
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from support.pages import ROOT, SNIPPETS
from support.prepared import install_examples
from support.project import Project
from support.snippets import CASE_ID, CHECK, DIFF, FRAGMENTS

TEXTS = {snippet.name: snippet.text for snippet in SNIPPETS}
SHIPPED = ROOT / "matrix"


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAGMENTS)
def test_a_fragment_loads_with_what_the_page_says_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(install_examples(tmp_path / "site"))])
    here = tmp_path / "matrix"
    (here / "weights").mkdir(parents=True)
    (here / "data").mkdir()
    save_file({"weight": np.zeros(1, dtype=np.float32)}, here / "weights/my_net.safetensors")
    np.savez(here / "data/calibration.npz", images=np.zeros((2, 8, 3, 32, 32), dtype=np.float32))
    (here / "fragment.yaml").write_text(TEXTS[name], encoding="utf-8")
    # The suite and the pattern of the same pages.
    (here / "gating.yaml").write_text(TEXTS["docs/extending.md: yaml 1"], encoding="utf-8")
    if "my_conv_bn" in TEXTS[name]:
        (here / "mine.yaml").write_text(TEXTS["docs/yaml.md: yaml 1"], encoding="utf-8")
    loaded = load([SHIPPED, here], allowed_modules=("my_package",))

    assert loaded.problems == ()
    assert loaded.matrix is not None
    assert select(loaded.matrix, Selection()).problems == ()


def test_the_case_id_that_the_page_explains_is_one() -> None:
    matrix = load([SHIPPED]).matrix
    assert matrix is not None

    assert TEXTS[CASE_ID].strip() in {case.case_id for case in select(matrix, Selection()).cases}


def test_the_workflow_for_a_matrix_of_someone_else_checks_it(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    base = project.path / "base"
    base.mkdir()
    (project.path / "matrix").rename(project.path / "theirs")
    (project.path / "theirs/matrix").mkdir()
    (project.path / "theirs/small.yaml").rename(project.path / "theirs/matrix/small.yaml")
    steps = yaml.safe_load(TEXTS[CHECK])["jobs"]["check"]["steps"]
    (step,) = (step for step in steps if step.get("run", "").startswith("qatrix "))
    monkeypatch.chdir(project.path / step["working-directory"])
    ended = project.run(*shlex.split(step["run"])[1:])

    assert ended.code == 0, ended
    assert "no problems" in ended.out


@pytest.mark.torch
def test_the_change_of_the_page_is_to_lines_that_torchao_has() -> None:
    # It is found and not imported, which takes seconds.
    place = place_of("torchao", [])
    assert place is not None
    source = (place / "quantization/pt2e/qat_utils.py").read_text(encoding="utf-8")
    (removed,) = (line[1:] for line in TEXTS[DIFF].splitlines() if line.startswith("-"))

    # The page says in how many places.
    assert source.count(removed.strip()) == 4
