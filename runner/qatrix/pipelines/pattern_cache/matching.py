"""Matchers of the patterns that annotators look for, made once for each pattern."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Final

from torch import fx

# torch.fx.passes.utils.matcher_with_name_node_map_utils defines it; XNNPACK's annotators bind it by this name.
MATCHER_CLASS: Final = "SubgraphMatcherWithNameNodeMap"

Matcher = Callable[..., Any]


def made_once(matcher: Matcher) -> Matcher:
    """The matcher's class, which gives the matcher that it gave before for an unchanged pattern.

    A matcher has no state but its pattern, which it rewrites when it is made (it takes the map
    of names off the output and compiles the rest): so it gets a copy. XNNPACKQuantizer makes 12
    of them for every model that it annotates for QAT on a CPU (torch 2.15, torchao 0.18).
    """
    # Strings alone are told of a pattern, so that nothing here keeps it alive.
    made: weakref.WeakKeyDictionary[fx.GraphModule, tuple[Hashable, Any]] = weakref.WeakKeyDictionary()

    def make(pattern_gm: fx.GraphModule, *rest: Any, **options: Any) -> Any:
        told = (_told(pattern_gm), repr(rest), repr(sorted(options.items())))
        known, found = made.get(pattern_gm, (None, None))
        if known != told:
            found = matcher(copy.deepcopy(pattern_gm), *rest, **options)
            made[pattern_gm] = told, found
        return found

    return make


def _told(module: fx.GraphModule) -> Hashable:
    """What a matcher reads of a pattern: its nodes and the structure of its results."""
    nodes = [f"{node.op} {node.name} {node.target!r} {node.args!r} {node.kwargs!r}" for node in module.graph.nodes]
    # Not `_out_spec`, which the module has of it: asking for that has the code of the graph written.
    structure = getattr(module.graph._codegen, "pytree_info", None)
    return *nodes, repr(getattr(structure, "out_spec", None))
