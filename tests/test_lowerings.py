"""Tests of lowerings."""

from __future__ import annotations

import pytest

from qatrix.expressions import Value
from qatrix.lowerings import Lowering, runtime_in_words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "native"),
        ({"engine": "qnnpack"}, "native (engine qnnpack)"),
        ({"compile": True, "level": 2}, "native (compile true, level 2)"),
        ({"shapes": (1, (2, None)), "scale": 0.5}, "native (shapes [1, [2, null]], scale 0.5)"),
    ],
)
def test_a_runtime_is_told_with_its_options(options: dict[str, Value], words: str) -> None:
    assert runtime_in_words("native", options) == words


def test_a_side_has_the_runtimes_name_and_what_is_deployed_its_options_too() -> None:
    lowering = Lowering(runtime="native", options={"engine": "qnnpack"})

    assert lowering.side("fx") == "fx on native"
    assert lowering.deployed("fx") == "fx on native (engine qnnpack)"
