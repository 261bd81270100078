"""A matcher of a pattern is made once, from a copy, and finds what a new one finds."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.fx.passes.utils.matcher_with_name_node_map_utils import SubgraphMatcherWithNameNodeMap

from qatrix.pipelines.late_code import _Late, late_code, unwritten
from qatrix.pipelines.pattern_cache.matching import made_once

pytestmark = pytest.mark.torch


class Pattern(nn.Module):
    """A sum and its relu, of the form whose nodes have names."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        added = x + y
        return torch.relu(added), {"input": x, "added": added}


class Model(nn.Module):
    """Two of them, one on the other."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(torch.relu(x + y) + y)


def exported(module: nn.Module) -> fx.GraphModule:
    program = torch.export.export(module, (torch.ones(2), torch.ones(2)), strict=True).module()
    assert isinstance(program, fx.GraphModule)
    # A program may check its inputs first, by a module, which is no part of a pattern.
    for node in [node for node in program.graph.nodes if node.op == "call_module"]:
        program.graph.erase_node(node)
    program.recompile()
    return program


class Matchers:
    """The real class; counts how many are made."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.made += 1
        return SubgraphMatcherWithNameNodeMap(*args, **kwargs)


def names(matcher: Any, model: fx.GraphModule) -> list[dict[str, str]]:
    return [{name: node.name for name, node in match.name_node_map.items()} for match in matcher.match(model.graph)]


def test_the_matcher_of_an_unchanged_pattern_is_made_once_and_finds_what_a_new_one_finds() -> None:
    pattern, model, matchers = exported(Pattern()), exported(Model()), Matchers()
    make = made_once(matchers)
    found = [names(make(pattern, ignore_literals=True), model) for _ in range(2)]

    assert matchers.made == 1
    assert len(found[0]) == 2
    assert found == 2 * [names(SubgraphMatcherWithNameNodeMap(exported(Pattern()), ignore_literals=True), model)]


def test_the_code_of_a_pattern_that_has_its_matcher_is_not_written() -> None:
    pattern, written = exported(Pattern()), list[fx.GraphModule]()
    make = made_once(SubgraphMatcherWithNameNodeMap)
    make(pattern)

    def write(module: fx.GraphModule) -> Any:
        written.append(module)

    with pytest.MonkeyPatch.context() as patch, late_code():
        # Annotators recompile their pattern each time.
        unwritten(pattern.recompile)
        patch.setattr(_Late, "write", write)
        make(pattern)

    assert written == []


def test_the_pattern_itself_is_not_rewritten() -> None:
    pattern = exported(Pattern())
    before = pattern.code
    made_once(SubgraphMatcherWithNameNodeMap)(pattern)

    assert pattern.code == before


@pytest.mark.parametrize("recompiled", [pytest.param(True, id="recompiled"), pytest.param(False, id="not recompiled")])
def test_a_pattern_that_has_changed_gets_a_matcher_of_its_own(recompiled: bool) -> None:
    pattern, matchers = exported(Pattern()), Matchers()
    make = made_once(matchers)
    make(pattern)
    (relu,) = (node for node in pattern.graph.nodes if "relu" in node.name)
    relu.target = torch.ops.aten.sigmoid.default
    if recompiled:
        pattern.recompile()
    matcher = make(pattern)

    assert matchers.made == 2
    assert names(matcher, exported(Model())) == []


def test_other_options_make_another_matcher() -> None:
    pattern, matchers = exported(Pattern()), Matchers()
    make = made_once(matchers)
    make(pattern, ignore_literals=True)
    make(pattern, ignore_literals=False)

    assert matchers.made == 2


def test_what_cannot_be_matched_raises_every_time() -> None:
    pattern = exported(Model())
    make = made_once(SubgraphMatcherWithNameNodeMap)
    for _ in range(2):
        with pytest.raises(AssertionError, match="Expecting the pattern graph to return a tuple"):
            make(pattern)


def test_no_pattern_is_kept_alive() -> None:
    make = made_once(SubgraphMatcherWithNameNodeMap)
    # Of a copy, since torch.export itself remembers what it exported last.
    pattern = copy.deepcopy(exported(Pattern()))
    make(pattern)
    kept = weakref.ref(pattern)
    del pattern
    gc.collect()

    assert kept() is None
