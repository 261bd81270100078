"""A command that breaks out of what is promised is noticed: it hangs, eats memory, raises or dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fuzzing.confinement import ESCAPED, Confinement
from support.fuzzing.properties import faults

pytestmark = pytest.mark.fuzz


@pytest.mark.parametrize(
    ("entry", "code", "fault"),
    [
        ("spin", -24, "it was stopped by signal 24 after"),
        ("power", -24, "it was stopped by signal 24 after"),
        ("wait", -14, "it was stopped by signal 14 after"),
        ("eat", ESCAPED, "an exception escaped"),
        ("escape", ESCAPED, "a traceback is printed"),
        ("die", -11, "it was stopped by signal 11 after"),
        ("well", 0, None),
    ],
)
def test_how_a_command_ends_is_told(
    entry: str, code: int, fault: str | None, declaring: Confinement, tmp_path: Path
) -> None:
    ended = declaring.run(
        cwd=tmp_path,
        entry=f"support.fuzzing.misbehaving:{entry}",
        cpu_seconds=1,
        # Where other work takes most of the processors, two seconds can come before one of them.
        wall_seconds=2 if entry == "wait" else 60,
    )

    assert ended.code == code
    assert [found for found in faults(ended, (0, 2)) if fault and found.startswith(fault)] or fault is None


def test_where_a_command_hung_is_in_its_errors(declaring: Confinement, tmp_path: Path) -> None:
    ended = declaring.run(cwd=tmp_path, entry="support.fuzzing.misbehaving:spin", cpu_seconds=1)

    assert b"misbehaving.py" in ended.err


def test_commands_know_nothing_of_one_another(declaring: Confinement, tmp_path: Path) -> None:
    first, second = (declaring.run(cwd=tmp_path, entry="support.fuzzing.misbehaving:count") for _ in range(2))

    assert first.out == second.out == b"1\n"


def test_what_a_command_leaves_behind_is_told_and_gone_before_the_next(declaring: Confinement, tmp_path: Path) -> None:
    declaring.run(cwd=tmp_path, entry="support.fuzzing.misbehaving:litter")
    left = declaring.left_behind
    declaring.run(cwd=tmp_path, entry="support.fuzzing.misbehaving:well")

    assert (left, declaring.left_behind) == (("a traceback",), ())
