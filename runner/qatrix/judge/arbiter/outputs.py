"""Whether a program returns the values that the float model returns, in the same places."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from torch import fx
from torch.utils import _pytree as pytree

from qatrix.judge.arbiter.evaluation import FloatModel
from qatrix.judge.diagnosis.placement import Placement
from qatrix.judge.diagnosis.quantizing import past_quantizing
from qatrix.judge.graphs.ops import op_name
from qatrix.judge.wording import specifications as words


def misplaced_outputs(
    model: FloatModel, placement: Placement, program: fx.GraphModule, judged: Collection[str]
) -> Iterator[tuple[str, str]]:
    """(layer, sentence) for each output that is another value than that of the layer which the float model returns.

    Of the sites that are `judged`: where else a layer's value is would not be known for sure.
    """
    wanted, found = _returned(model.program), _returned(program)
    if len(wanted) != len(found):
        return
    for number, (one, other) in enumerate(zip(wanted, found, strict=True), start=1):
        probe = placement.computed.get(one.name)
        if probe is None:
            yield from _of_another(model, placement, one.name, past_quantizing(other).name)
            continue
        if one.name not in judged:
            continue
        if probe.node not in _bearing(past_quantizing(other)):
            which = words.THE_OUTPUT() if len(wanted) == 1 else words.OUTPUT(number=number)
            yield model.layout.sites[one.name].name, words.NOT_ITS_VALUE(output=which)


def _of_another(model: FloatModel, placement: Placement, wanted: str, found: str) -> Iterator[tuple[str, str]]:
    """A layer that the float model returns and the program no longer computes, where another's value is returned."""
    owner = placement.owner.get(found)
    site = model.layout.sites.get(wanted)
    if owner is not None and site is not None and owner != wanted and not site.passing:
        yield site.name, words.VALUE_OF_ANOTHER(layer=model.layout.sites[owner].name)


def _bearing(node: fx.Node) -> set[str]:
    """A node, and the one of whose several values it is the only one that is wanted."""
    source = node.args[0] if op_name(node) == "getitem" else None
    return {node.name, source.name} if isinstance(source, fx.Node) else {node.name}


def _returned(program: fx.GraphModule) -> list[fx.Node]:
    output = next(node for node in reversed(program.graph.nodes) if node.op == "output")
    return [leaf for leaf in pytree.tree_leaves(output.args[0]) if isinstance(leaf, fx.Node)]
