"""What quantizers claim of layers, and leave in float."""

from __future__ import annotations

import pytest
from torch import fx, nn

from qatrix.judge.graphs import Claim

ALL = frozenset({"linear", "conv", "conv_transpose"})


def call_of(path: str) -> fx.Node:
    """The node that calls a linear layer at a path."""
    module: nn.Module = nn.Linear(2, 2)
    *above, last = path.split(".")
    holder: nn.Module = nn.Module()
    top = holder
    for name in above:
        holder.add_module(name, nn.Module())
        holder = holder.get_submodule(name)
    holder.add_module(last, module)
    graph = fx.Graph()
    node = graph.call_module(path, (graph.placeholder("x"),))
    graph.output(node)
    made = fx.GraphModule(top, graph)
    found: fx.Node = next(item for item in made.graph.nodes if item.op == "call_module")
    return found


@pytest.mark.parametrize(
    ("claim", "leaves"),
    [
        pytest.param(Claim(ops=ALL), False, id="nothing is left"),
        pytest.param(Claim(ops=ALL, modules={"blocks.0.head": True}), True, id="the module"),
        pytest.param(Claim(ops=ALL, modules={"blocks": True}), True, id="what it is in"),
        pytest.param(Claim(ops=ALL, modules={"block": True, "blocks.0.he": True}), False, id="others with such names"),
        pytest.param(Claim(ops=ALL, modules={"blocks": True, "blocks.0": False}), False, id="the nearest counts"),
        pytest.param(Claim(ops=ALL, types={"blocks.0.head": True}), True, id="its class"),
        pytest.param(
            Claim(ops=ALL, modules={"blocks": False}, types={"blocks.0.head": True}), False, id="modules before classes"
        ),
    ],
)
def test_a_claim_leaves_what_is_inside_of_the_parts_that_stay_in_float(claim: Claim, leaves: bool) -> None:
    node = call_of("blocks.0.head")

    assert claim.leaves(node) is leaves
    assert claim.covers(node) is not leaves


def test_a_claim_covers_only_its_ops() -> None:
    assert not Claim(ops={"conv"}).covers(call_of("head"))
