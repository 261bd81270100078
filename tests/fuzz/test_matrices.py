"""The small matrices: cut out of the shipped one, whole, green, and all of it together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import FULL_TAG
from qatrix.resources import folder
from support.fuzzing.matrices import declarations, small_matrices


@pytest.mark.parametrize("place", range(len(small_matrices())))
def test_a_small_matrix_is_right_and_has_cases(place: int, tmp_path: Path) -> None:
    for name, text in small_matrices()[place].items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    loaded = load([tmp_path])

    assert [problem for problem in loaded.problems if problem.severity == "error"] == []
    assert loaded.matrix is not None
    assert select(loaded.matrix, Selection(tags=(FULL_TAG,))).cases


def test_every_shipped_file_is_cut_into_all_its_declarations() -> None:
    top = folder("matrix")
    texts = {path.relative_to(top).as_posix(): path.read_text(encoding="utf-8") for path in top.rglob("*.yaml")}
    pieces = {name: "".join(item.text for item in declarations() if item.file == name) for name in texts}

    # What is left out are comments above the first section, and the sections' names.
    bare = {name: re.sub(r"^[a-z_]+:\n", "", text, flags=re.MULTILINE) for name, text in texts.items()}
    assert {name: text for name, text in bare.items() if not text.endswith(pieces[name])} == {}


def test_every_shipped_declaration_is_in_a_small_matrix() -> None:
    left = [
        item for item in declarations() if not any(item.text in files.get(item.file, "") for files in small_matrices())
    ]

    assert left == []


def test_a_declaration_has_the_comments_above_it() -> None:
    (first,) = [item for item in declarations() if item.name == "xnnpack_int8_per_channel_qat"]

    assert first.text.startswith("  # What each pipeline already has")
    assert first.section == "quantizers"
