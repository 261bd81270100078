"""Patterns that cannot match are passed over, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.fx.subgraph_rewriter import replace_pattern_with_filters

from qatrix.pipelines.pattern_cache.rewriting import passing_over

pytestmark = pytest.mark.torch


def model() -> fx.GraphModule:
    return fx.symbolic_trace(lambda x, y: torch.relu(x + y))


ADD = fx.symbolic_trace(lambda x, y: x + y)
ADD_SIGMOID = fx.symbolic_trace(lambda x, y: torch.sigmoid(x + y))
MUL = fx.symbolic_trace(lambda x, y: x * y)


class Rewriter:
    """The real rewriter; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        self.calls += 1
        found: list[Any] = replace_pattern_with_filters(*args, **kwargs)
        return found


def test_a_pattern_whose_ops_are_there_is_rewritten_as_ever() -> None:
    plain, passed = model(), model()
    rewriter = Rewriter()
    expected = replace_pattern_with_filters(plain, ADD, MUL, ignore_literals=True)
    found = passing_over(rewriter)(passed, ADD, MUL, ignore_literals=True)

    assert rewriter.calls == 1
    assert len(found) == len(expected) == 1
    assert passed.code == plain.code


def test_a_pattern_with_an_op_that_is_not_there_is_passed_over() -> None:
    plain, passed = model(), model()
    rewriter = Rewriter()
    expected = replace_pattern_with_filters(plain, ADD_SIGMOID, MUL, match_filters=[], ignore_literals=True)
    found = passing_over(rewriter)(passed, ADD_SIGMOID, MUL, match_filters=[], ignore_literals=True)

    assert rewriter.calls == 0
    assert found == expected == []
    assert passed.code == plain.code


def test_modules_that_nothing_calls_are_removed_as_the_rewriter_does() -> None:
    programs = (model(), model())
    for program in programs:
        program.add_submodule("unused", nn.Linear(1, 1))
    replace_pattern_with_filters(programs[0], ADD_SIGMOID, MUL)
    passing_over(Rewriter())(programs[1], ADD_SIGMOID, MUL)

    assert [list(dict(program.named_modules())) for program in programs] == [[""], [""]]


@pytest.mark.parametrize(
    ("pattern", "options"),
    [
        pytest.param(ADD_SIGMOID, {"node_name_match": "add"}, id="a match by name"),
        pytest.param(lambda x, y: torch.sigmoid(x + y), {}, id="a pattern that is not traced yet"),
    ],
)
def test_what_the_ops_alone_do_not_decide_goes_to_the_rewriter(pattern: Any, options: dict[str, Any]) -> None:
    rewriter = Rewriter()
    passing_over(rewriter)(model(), pattern, MUL, **options)

    assert rewriter.calls == 1
