"""The YAML that declares something, found by where its value stands."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from qatrix.declare.excerpts import excerpts
from qatrix.declare.load import load
from qatrix.outcomes import Excerpt
from qatrix.resources import folder

YAML = """
# A comment.
patterns:
  first:
    about: a block

    layers: {a: "Linear(3, 3)"}
    # Inside.
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, 3]}}

  second: {layers: {a: "Linear(3, 3)"}, forward: ["return a(x)"],
           inputs: {x: {shape: [2, 3]}}}
quantizers:
  int8: {mode: qat, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}
suites:
  small: {axes: {pattern: [first, second], quantizer: int8}}
"""


def found(path: Path) -> dict[tuple[str, str], Excerpt]:
    matrix = load([path]).matrix
    assert matrix is not None
    return {(item.axis, item.name): item for item in excerpts(matrix)}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "matrix.yaml"
    path.write_text(YAML)
    return path


def test_a_block_is_all_that_is_below_its_key(written: Path) -> None:
    excerpt = found(written)["pattern", "first"]

    assert (excerpt.line, excerpt.about) == (4, "a block")
    assert excerpt.text == dedent(
        """\
        first:
          about: a block

          layers: {a: "Linear(3, 3)"}
          # Inside.
          forward: ["return a(x)"]
          inputs: {x: {shape: [2, 3]}}"""
    )


def test_a_value_beside_its_key_may_take_several_lines(written: Path) -> None:
    excerpt = found(written)["pattern", "second"]

    assert (excerpt.line, excerpt.about) == (12, None)
    assert excerpt.text.endswith("inputs: {x: {shape: [2, 3]}}}")


def test_suites_and_quantizers_have_theirs(written: Path) -> None:
    assert found(written).keys() == {
        ("suite", "small"), ("pattern", "first"), ("pattern", "second"), ("quantizer", "int8"),
    }  # fmt: skip


def test_everything_of_the_shipped_matrix_has_an_excerpt_that_begins_with_its_name() -> None:
    items = found(folder("matrix"))

    assert {axis for axis, _ in items} == {"suite", "pattern", "conv", "quantizer", "runtime"}
    assert [item for item in items.values() if not item.text.startswith(f"{item.name}:")] == []


def test_a_file_that_has_gone_leaves_nothing(written: Path) -> None:
    matrix = load([written]).matrix
    written.unlink()

    assert matrix is not None
    assert list(excerpts(matrix)) == []
