"""Passes over the patterns that cannot match a graph, without compiling and matching them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from torch import fx

# What PT2E's QAT calls by this name is torch.fx.subgraph_rewriter's function.
REWRITE_FUNCTION: Final = "replace_pattern_with_filters"
# Arguments under which a match needs every op of the pattern; `node_name_match`, for one, goes by names.
_PLAIN_ARGUMENTS: Final = frozenset({"match_filters", "ignore_literals"})

Rewrite = Callable[..., list[Any]]


def passing_over(rewrite: Rewrite) -> Rewrite:
    """The subgraph rewriter, which does nothing where the graph lacks an op of the pattern.

    A match pairs each call of the pattern with a call of the same target
    (`SubgraphMatcher._nodes_are_equal`), so that a target that is not there rules it out.
    PT2E tries 59 patterns on a model with one batch norm, of which at most 2 are there.
    """

    def replace(gm: fx.GraphModule, pattern: Any, replacement: Any = None, *rest: Any, **options: Any) -> list[Any]:
        plain = not rest and options.keys() <= _PLAIN_ARGUMENTS and isinstance(replacement, fx.GraphModule)
        if plain and isinstance(pattern, fx.GraphModule) and not _targets(pattern) <= _targets(gm):
            # All that the rewriter changes where nothing matches.
            gm.delete_all_unused_submodules()
            return []
        return rewrite(gm, pattern, replacement, *rest, **options)

    return replace


def _targets(module: fx.GraphModule) -> set[Any]:
    return {node.target for node in module.graph.nodes if node.op == "call_function"}
