"""The layers of a float model in the order of execution: the common reference for all its programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from torch import fx, nn

from qatrix.judge.graphs.operands import operands
from qatrix.judge.graphs.ops import base_name, called_module
from qatrix.judge.graphs.origins import canonical, scope_of

# Layers that give their input back, at least in evaluation: a program may leave them out without fusing them.
_PASSING: Final = ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout")


@dataclass(frozen=True, kw_only=True)
class Site:
    """One place of the float model that has a value: an input, a call of a module, a call of a function.

    `key` is the name of its node in the float graph, `name` what a reader calls it; `path` the
    module's path, `scope` the path of the module whose forward calls a function, `call` how
    many calls of that path, or of that function in that scope, come before. `inputs` are the
    keys of the sites it reads. `facts` are the settings of the module that a program must
    keep ("eps", "momentum", "padding_mode").
    """

    key: str
    name: str
    kind: Literal["input", "module", "function"]
    op: str
    path: str
    scope: str
    call: int
    inputs: tuple[str, ...]
    index: object = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passing(self) -> bool:
        """Whether the layer may be left out of a program without a change of values."""
        return self.op in _PASSING


@dataclass(frozen=True, kw_only=True)
class Layout:
    """All sites by key, in the order of execution, and the keys of those that the model returns.

    `without_tensors` are the names of the float graph's nodes whose values are no tensors:
    shapes, sizes, what is picked from them.
    """

    sites: Mapping[str, Site]
    outputs: tuple[str, ...]
    without_tensors: frozenset[str] = frozenset()

    def consumers(self, key: str) -> list[Site]:
        """The sites that read a site."""
        return [site for site in self.sites.values() if key in site.inputs]


def layout_of(graph: fx.Graph, tensors: Collection[str]) -> Layout:
    """The sites of a symbolically traced float model; `tensors` names the nodes whose values are tensors."""
    sites: dict[str, Site] = {}
    calls: dict[tuple[str, str], int] = {}
    names: dict[str, int] = {}
    for node in graph.nodes:
        if node.op in {"output", "get_attr"} or node.name not in tensors:
            continue
        made = _site(node, _sources(node, sites), calls)
        names[made.name] = names.get(made.name, 0) + 1
        if names[made.name] > 1:
            made = _renamed(made, f"{made.name}@{names[made.name]}")
        sites[node.name] = made
    output = next(node for node in reversed(graph.nodes) if node.op == "output")
    plain = frozenset(node.name for node in graph.nodes if node.name not in tensors)
    return Layout(sites=sites, outputs=_sources(output, sites), without_tensors=plain)


def _site(node: fx.Node, inputs: tuple[str, ...], calls: dict[tuple[str, str], int]) -> Site:
    if node.op == "placeholder":
        return Site(key=node.name, name=node.name, kind="input", op="input", path="", scope="", call=0, inputs=())
    if node.op == "call_module":
        module, path = called_module(node), str(node.target)
        call = _count(calls, (path, ""))
        return Site(
            key=node.name,
            name=path,
            kind="module",
            op=type(module).__name__,
            path=path,
            scope=path.rpartition(".")[0],
            call=call,
            inputs=inputs,
            facts=_facts(module),
        )
    op, scope = canonical(base_name(node)), scope_of(node)
    return Site(
        key=node.name,
        name=f"{scope}.{op}" if scope else op,
        kind="function",
        op=op,
        path="",
        scope=scope,
        call=_count(calls, (scope, op)),
        inputs=inputs,
        index=node.args[1] if op == "getitem" and len(node.args) > 1 else None,
        facts=_function_facts(node, op),
    )


def _renamed(site: Site, name: str) -> Site:
    return Site(**{**vars(site), "name": name})


def _count(calls: dict[tuple[str, str], int], key: tuple[str, str]) -> int:
    calls[key] = calls.get(key, -1) + 1
    return calls[key]


def _sources(node: fx.Node, sites: Mapping[str, Site]) -> tuple[str, ...]:
    """The sites that a node reads, past nodes that are none."""
    found: list[str] = []
    for source in node.all_input_nodes:
        for key in (source.name,) if source.name in sites else _sources(source, sites):
            if key not in found:
                found.append(key)
    return tuple(found)


def _facts(module: nn.Module | None) -> Mapping[str, Any]:
    names = ("eps", "momentum", "padding_mode")
    return {name: getattr(module, name) for name in names if getattr(module, name, None) is not None}


def _function_facts(node: fx.Node, op: str) -> Mapping[str, Any]:
    if op != "batch_norm":
        return {}
    given = operands(node)
    return {name: given[name] for name in ("momentum", "eps") if name in given}
