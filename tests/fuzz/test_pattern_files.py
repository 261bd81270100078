"""Whatever a file of the pattern cache holds, a lookup gives a graph, and damage is dropped and made again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.fuzzing import evidence
from support.fuzzing.campaign import Begin
from support.fuzzing.confinement import Confinement, Ended
from support.fuzzing.pattern_files import Damage, Program, programs
from support.fuzzing.properties import faults

pytestmark = [pytest.mark.fuzz, pytest.mark.torch]
ENTRY = "support.fuzzing.pattern_files:look_up"


@pytest.fixture
def good(referring: Confinement, tmp_path: Path) -> tuple[Path, bytes]:
    """A pattern's file, and what two lookups print that find it."""
    first = referring.run("good", cwd=tmp_path, entry=ENTRY, cpu_seconds=60)
    assert first.code == 0, first.err.decode()
    (path,) = (tmp_path / "good").iterdir()
    return path, looked_up(referring, tmp_path, path, path.read_bytes()).out


def looked_up(referring: Confinement, tmp_path: Path, good: Path, content: bytes) -> Ended:
    """Two lookups where the file has that content."""
    shutil.rmtree(folder := tmp_path / "spoiled", ignore_errors=True)
    folder.mkdir()
    (folder / good.name).write_bytes(content)
    return referring.run("spoiled", "good", cwd=tmp_path, entry=ENTRY)


def test_every_mutant_of_a_pattern_file_is_made_again(
    begin: Begin, referring: Confinement, good: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, found = good
    graph = found.split()[1]
    content = path.read_bytes()

    def judge(program: Program) -> str:
        ended = looked_up(referring, tmp_path, path, program.damaged(path.stem, content))
        broken = list(faults(ended, (0,)))
        words = ended.out.split()
        if words and words[0] != words[-2]:
            broken.append("what was made again was not found by the next process")
        if words and not program.is_forged and {words[1], words[-1]} != {graph}:
            broken.append("the graph is another")
        return evidence.report(ended, broken, referring.left_behind) if broken else ""

    def write(program: Program, folder: Path) -> None:
        (folder / path.name).write_bytes(program.damaged(path.stem, content))

    begin("pattern files", one_in=10).run(programs(), judge, write)


def test_a_whole_file_is_not_exported_again(good: tuple[Path, bytes]) -> None:
    assert good[1].split()[::2] == [b"0", b"0"]


def test_a_damaged_file_is_exported_once(referring: Confinement, good: tuple[Path, bytes], tmp_path: Path) -> None:
    program = Program(damages=(Damage(kind="flip_bit", at=100, other=0),))
    ended = looked_up(referring, tmp_path, good[0], program.damaged(good[0].stem, good[0].read_bytes()))

    assert ended.out.split()[::2] == [b"1", b"1"]


def test_a_forged_file_has_a_right_checksum(referring: Confinement, good: tuple[Path, bytes], tmp_path: Path) -> None:
    # A key that is named otherwise: whole for the checksum, no graph for what decodes it.
    program = Program(damages=(Damage(kind="forge", at=0, other=1),))
    content = program.damaged(good[0].stem, good[0].read_bytes())
    ended = looked_up(referring, tmp_path, good[0], content)

    assert content != good[0].read_bytes()
    assert ended.out.split()[::2] == [b"1", b"1"]
