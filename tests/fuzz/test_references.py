"""Whatever a reference from elsewhere holds, opening it gives its origin or a sentence, soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fuzzing import evidence
from support.fuzzing.campaign import Begin
from support.fuzzing.confinement import Confinement, Ended
from support.fuzzing.properties import faults
from support.fuzzing.references import KINDS, NAME, Damage, Program, programs

pytestmark = [pytest.mark.fuzz, pytest.mark.torch]


@pytest.fixture
def good(referring: Confinement, tmp_path: Path) -> bytes:
    """The bytes of a reference."""
    ended = referring.run(NAME, cwd=tmp_path, entry="support.fuzzing.references:write_good")
    assert ended.code == 0, ended.err.decode()
    return (tmp_path / NAME).read_bytes()


def opened(referring: Confinement, tmp_path: Path, content: bytes) -> Ended:
    (tmp_path / NAME).write_bytes(content)
    return referring.run(NAME, cwd=tmp_path, entry="support.fuzzing.entries:reference")


def test_every_mutant_of_a_reference_is_answered(
    begin: Begin, referring: Confinement, good: bytes, tmp_path: Path
) -> None:
    def judge(program: Program) -> str:
        ended = opened(referring, tmp_path, program.damaged(good))
        found = list(faults(ended, (0, 2)))
        return evidence.report(ended, found, referring.left_behind) if found else ""

    def write(program: Program, folder: Path) -> None:
        (folder / NAME).write_bytes(program.damaged(good))

    begin("references", one_in=10).run(programs(), judge, write)


def test_a_good_reference_tells_its_origin(referring: Confinement, good: bytes, tmp_path: Path) -> None:
    ended = opened(referring, tmp_path, good)

    assert (ended.code, ended.out.startswith(b"fx of torch 2.15.0")) == (0, True)


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_every_kind_of_damage_changes_a_reference(kind: str, good: bytes) -> None:
    damages = [Damage(kind=kind, at=place, other=place + 1) for place in range(6)]

    assert any(Program(damages=(damage,)).damaged(good) != good for damage in damages)


def test_a_forged_manifest_has_a_right_checksum(referring: Confinement, good: bytes, tmp_path: Path) -> None:
    # The first value of the manifest, which is the pipeline, becomes nothing.
    ended = opened(
        referring, tmp_path, Program(damages=(Damage(kind="change_manifest", at=0, other=24),)).damaged(good)
    )

    assert (ended.code, b"is a reference of another qatrix" in ended.err) == (2, True)
