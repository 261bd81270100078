"""Tests of declare.digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.declare.digest import _text, case_digests, matrix_digest
from qatrix.declare.expand import expand
from qatrix.declare.load import load
from qatrix.declare.spec import Case, Lifecycle
from support import specs
from support.project import MATRIX

LIFECYCLES: tuple[Lifecycle, ...] = ("none", "save_load", "deepcopy")
CAUSE = """
causes:
  rounding: {title: t, sentence: Said., impact: by_design, advice: Do it., because: b}
expected: [{cases: "second/*", verdict: diverged, cause: rounding}]
"""
EXPECTED = 'expected: [{cases: "second/*", verdict: diverged, because: "known"}]\n'


def digest(folder: Path, text: str = MATRIX) -> str:
    folder.mkdir(exist_ok=True)
    file = folder / "small.yaml"
    file.write_text(text, encoding="utf-8")
    matrix = load([file]).matrix
    assert matrix is not None
    return matrix_digest(matrix)


def test_the_same_declarations_have_the_same_digest_wherever_they_lie(tmp_path: Path) -> None:
    assert digest(tmp_path / "a") == digest(tmp_path / "b", f"# a comment moves every line\n{MATRIX}")


@pytest.mark.parametrize(("old", "new"), [("Do it.", "Do that."), ("by_design", "error"), ("rounding", "steps")])
def test_what_a_cause_advises_describes_and_changes_nothing(tmp_path: Path, old: str, new: str) -> None:
    assert digest(tmp_path / "a", MATRIX + CAUSE) == digest(tmp_path / "b", MATRIX + CAUSE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("bias: [true, false]", "bias: [true]"),
        ("bias: [true, false]", "bias: [false, true]"),
        ("Linear(3, 3, bias=bias)", "Linear(3, 3, True)"),
        ("return a(x)", "return a(x) + 1"),
        ("shape: [2, 3]", "shape: [4, 3]"),
        ("default_symmetric_qnnpack_qat_qconfig", "default_per_channel_symmetric_qnnpack_qat_qconfig"),
        ("torch: cuda", "torch: 'cuda:1'"),
        ("suites:", f"{EXPECTED}suites:"),
    ],
    ids=["axis", "order", "layer", "forward", "input", "quantizer", "device", "expectation"],
)
def test_another_declaration_has_another_digest(tmp_path: Path, old: str, new: str) -> None:
    assert old in MATRIX
    assert digest(tmp_path, MATRIX.replace(old, new)) != digest(tmp_path)


def test_a_case_without_a_lifecycle_is_what_it_was_before_there_were_any() -> None:
    (case,) = (item for item in expand(specs.matrix(specs.suite())) if isinstance(item, Case))
    digests = {name: case_digests([replace(case, lifecycle=name)])[case.case_id] for name in LIFECYCLES}

    assert "lifecycle" not in _text(case, {})
    assert len(set(digests.values())) == len(LIFECYCLES)


def test_what_a_file_of_tensors_holds_counts_and_not_where_it_lies(tmp_path: Path) -> None:
    text = MATRIX.replace("{shape: [2, 3]}", "{shape: [2, 3], from: data.npz}")
    assert text != MATRIX
    found = {}
    for folder, content in {"a": b"one", "b": b"one", "c": b"other"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.npz").write_bytes(content)
        found[folder] = digest(tmp_path / folder, text)

    assert found["a"] == found["b"] != found["c"]


def test_a_file_that_is_written_anew_has_another_digest(tmp_path: Path) -> None:
    text = MATRIX.replace("{shape: [2, 3]}", "{shape: [2, 3], from: data}")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.npz").write_bytes(b"one")
    before = digest(tmp_path, text)
    (tmp_path / "data" / "2.npz").write_bytes(b"two")

    assert digest(tmp_path, text) != before
