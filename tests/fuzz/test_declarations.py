"""Whatever a stranger's YAML holds, `check` and `list` answer in words, soon, and with nothing that is obeyed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from support.fuzzing import evidence
from support.fuzzing.campaign import Begin
from support.fuzzing.confinement import Confinement
from support.fuzzing.programs import Program, programs
from support.fuzzing.properties import check_faults, list_faults

pytestmark = pytest.mark.fuzz
_JUDGES: Final = {"check": check_faults, "list": list_faults}


def test_every_mutant_of_the_shipped_yaml_is_answered(begin: Begin, declaring: Confinement, tmp_path: Path) -> None:
    def judge(program: Program) -> str:
        return judged(program, declaring, tmp_path / "mutant")

    begin("the shipped YAML").run(programs(), judge, Program.write)


def judged(program: Program, declaring: Confinement, path: Path) -> str:
    """The report of a mutant, empty where all holds."""
    shutil.rmtree(path, ignore_errors=True)
    program.write(path)
    shown = {os.path.join(program.folder, name): content for name, content in program.files().items()}  # noqa: PTH118
    # A name that begins with a dash would be an option.
    folder = os.fsdecode(program.folder if not program.folder.startswith(b"-") else b"./" + program.folder)
    selection = () if program.glob is None else ("--case", json.loads(program.glob))
    reports = []
    for argv in (("check", folder), ("list", folder, "--tag", "full", *selection)):
        ended = declaring.run(*argv, cwd=path)
        found = list(_JUDGES[argv[0]](ended, shown))
        if found:
            reports.append(evidence.report(ended, found, declaring.left_behind))
    return "\n\n".join(reports)


@pytest.mark.parametrize("place", [0, 60, 130])
def test_a_matrix_without_mutations_breaks_no_promise(place: int, declaring: Confinement, tmp_path: Path) -> None:
    assert judged(Program(matrix=place, mutations=()), declaring, tmp_path / "mutant") == ""
