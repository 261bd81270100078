"""Every command of the documentation, typed where it finds what it names, with pipelines that do nothing."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from qatrix.cli import repros
from support.documented import typed_here, unlike_the_page
from support.pages import LINES, ROOT
from support.prepared import as_expected, before, collaborators, judged, prepare
from support.project import Ended, Project
from support.shells import Shell

# One process makes the project once.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("documented"), pytest.mark.usefixtures("scripts_made_here")]
TYPED = {
    block: typed
    for block in dict.fromkeys(line.block for line in LINES)
    if (typed := [line.text for line in LINES if line.block == block and typed_here(line.text)])
}
# What the text around a command says it ends with, where that is not 0.
CODES = {
    # Some cases got worse, as the output on the page says.
    "qatrix compare torch25/latest torch29/latest torch215/latest --out reports/releases": 1,
}


@pytest.fixture(scope="module", name="prepared")
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project, and what lies beside it; each block gets a copy."""
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(name="reader")
def _reader(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Project:
    """A reader of one block, in a project that has all that the pages name."""
    if not any(prepared.iterdir()):
        (prepared / "here/matrix").mkdir(parents=True)
        monkeypatch.chdir(prepared / "here")
        prepare(Project(path=prepared / "here", capture=capsys))
    shutil.copytree(prepared, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")
    # As pip would install them; and what a line adds is gone at its end.
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    # It starts a process that needs torch.
    monkeypatch.setattr(repros, "_differences", lambda *_: [])
    return Project(path=tmp_path / "here", capture=capsys)


def type_in(reader: Project, line: str) -> list[Ended]:
    """Type a line, with records that the cases' own matrix expects."""
    words = line.split()
    paths = [word for word in words if word.startswith("examples/")]
    if words[1] == "init":
        paths = [str(ROOT / "matrix")]
    allowed = [words[place + 1] for place, word in enumerate(words) if word == "--allow-module"]
    reader.execution.records = as_expected(tuple(paths), tuple(allowed)) if paths else judged
    return Shell(reader, collaborators).type(line)


def files_named_in(ended: Ended, folder: Path) -> str:
    """What is in the scripts that a command says it wrote."""
    names = re.findall(r"^(\S+\.py)\b", ended.out, flags=re.MULTILINE)
    return "".join((folder / name).read_text(encoding="utf-8") for name in names)


@pytest.mark.parametrize("block", TYPED)
def test_every_command_of_a_block_ends_as_the_page_says(reader: Project, block: str) -> None:
    before(block, reader)
    for line in TYPED[block]:
        for ended in type_in(reader, line):
            assert ended.code == CODES.get(line, 0), ended
            assert "Traceback" not in ended.out + ended.err, ended
            assert unlike_the_page(line, ended.out + files_named_in(ended, reader.path)) == [], files_named_in(
                ended, reader.path
            )
