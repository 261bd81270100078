"""The check that a graph makes, as the text of a YAML file."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.claims import Transcript
from qatrix.declare.load import load
from qatrix.declare.transcripts import check_name, check_text, demand_name
from qatrix.errors import UsageError
from support import specs

CASE = specs.case("fusion/conv_bn/dim=2,quantizer=int8,device=cpu", axes={"pattern": "conv_bn", "dim": 2})
SHORT = Transcript(
    counts={"quantize_per_tensor": 2, "conv": 1},
    order=("quantize_per_tensor", "conv"),
    graph=("x = quantize_per_tensor(_, dtype='int8', quant_min=-128)", "return conv(x)"),
)


def text_of(transcript: Transcript) -> str:
    return check_text(transcript, CASE, name="mine", pipeline="fx", at="prepare", origin=["From a\ntest.", "By hand."])


def test_the_file_says_where_it_comes_from_and_how_a_suite_makes_the_check() -> None:
    assert text_of(SHORT) == (
        "# From a\\ntest.\n"
        "# By hand.\n"
        "# Suite fusion makes this check on that case by:\n"
        "#   checks:\n"
        "#     - {check: mine, where: {pattern: conv_bn, dim: 2}}\n"
        "checks:\n"
        "  mine:\n"
        '    about: "the graph of fusion/conv_bn/dim=2,quantizer=int8,device=cpu after prepare is as it was"\n'
        "    at: prepare\n"
        "    pipelines: [fx]\n"
        "    counts: {quantize_per_tensor: 2, conv: 1}\n"
        "    order: [quantize_per_tensor, conv]\n"
        "    graph:\n"
        "      - \"x = quantize_per_tensor(_, dtype='int8', quant_min=-128)\"\n"
        '      - "return conv(x)"\n'
    )


@pytest.mark.parametrize(
    "transcript",
    [
        SHORT,
        Transcript(counts={"yes": 1, "null": 2}, order=("yes", "null", "on"), graph=("return yes(null())",)),
        Transcript(counts={}, order=(), graph=("return 3",)),
        Transcript(
            counts={f"op_of_a_long_name_{number}": number for number in range(300)},
            order=("op_of_a_long_name_1",) * 300,
            graph=("x = input()", "return x"),
        ),
    ],
    ids=["short", "words of YAML", "nothing", "many lines"],
)
def test_what_is_written_is_read_as_it_was(transcript: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "frozen.yaml"
    path.write_text(text_of(transcript))
    loaded = load([path])

    assert loaded.matrix is not None, loaded.problems
    check = loaded.matrix.checks["mine"]
    assert (check.counts, check.order, len(check.graph)) == (
        transcript.counts,
        transcript.order,
        len(transcript.graph),
    )
    assert all(len(line) <= 120 for line in path.read_text().splitlines())


def test_a_check_is_called_after_what_it_comes_from() -> None:
    assert check_name(CASE, "pt2e", "convert") == "fusion_conv_bn_pt2e_convert"


@pytest.mark.parametrize("name", ["", "1st", "a-b", "a b", "ä"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="is no name; expected letters, digits and _, a letter first"):
        demand_name(name)
