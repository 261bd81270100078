"""Whatever a store from elsewhere holds, the verbs that read it end with a report or a sentence, soon."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from support.fuzzing import evidence
from support.fuzzing.campaign import Begin
from support.fuzzing.confinement import Confinement
from support.fuzzing.properties import faults
from support.fuzzing.stores import COMMANDS, KINDS, Damage, Program, programs

pytestmark = pytest.mark.fuzz


def test_every_mutant_of_a_store_is_answered(begin: Begin, reporting: Confinement, tmp_path: Path) -> None:
    def judge(program: Program) -> str:
        return judged(program, reporting, tmp_path / "mutant")

    begin("run stores", one_in=10).run(programs(), judge, Program.write)


def judged(program: Program, reporting: Confinement, path: Path) -> str:
    """The report of a mutant, empty where all holds."""
    shutil.rmtree(path, ignore_errors=True)
    program.write(path)
    ended = reporting.run(*program.command.argv, cwd=path)
    found = list(faults(ended, program.command.codes))
    return evidence.report(ended, found, reporting.left_behind) if found else ""


@pytest.mark.parametrize("verb", range(len(COMMANDS)))
def test_a_good_store_breaks_no_promise(verb: int, reporting: Confinement, tmp_path: Path) -> None:
    program = Program(verb=verb, damages=())
    program.write(tmp_path)
    ended = reporting.run(*program.command.argv, cwd=tmp_path)

    assert list(faults(ended, program.command.codes)) == []
    assert ended.code < 2, ended.err.decode()


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_every_kind_of_damage_changes_a_store(kind: str, tmp_path: Path) -> None:
    Program(verb=0, damages=()).write(tmp_path / "good")
    good = (tmp_path / "good" / "one" / "run.sqlite").read_bytes()
    for place in range(6):
        damage = Damage(kind=kind, at=place, other=place + 1)
        Program(verb=0, damages=(damage,)).write(tmp_path / f"damaged{place}")

    assert any((tmp_path / f"damaged{place}" / "one" / "run.sqlite").read_bytes() != good for place in range(6))


def test_a_cell_holds_what_was_put_there(tmp_path: Path) -> None:
    Program(verb=0, damages=(Damage(kind="set_cell", at=0, other=1),)).write(tmp_path)
    with closing(sqlite3.connect(tmp_path / "one" / "run.sqlite")) as connection:
        ids = [case_id for (case_id,) in connection.execute("SELECT case_id FROM cases ORDER BY rowid")]

    assert ids[0] == ""


def test_a_view_without_end_does_not_stop_the_next_damage(tmp_path: Path) -> None:
    # The table of cases is made a view of endless rows, and then read for a value to change.
    damages = (Damage(kind="replace_table", at=0, other=1), Damage(kind="change_json", at=0, other=3))
    Program(verb=0, damages=damages).write(tmp_path)

    with closing(sqlite3.connect(tmp_path / "one" / "run.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone() == (1,)
