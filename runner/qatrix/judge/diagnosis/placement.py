"""Where a program computes and quantizes the layers of the float model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from torch import fx, nn

from qatrix.judge.diagnosis.exported import (
    FusedNorm,
    claims,
    fused_norms,
    is_exported,
    nested_graph,
    nested_nodes,
    unnested,
)
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.quantizing import (
    Kind,
    finds_range,
    operand_name,
    passed_on,
    past_quantizing,
    quantizes,
    quantizing_kind,
    readers,
    rounds,
)
from qatrix.judge.graphs.ops import called_module, op_name

# How aten spells an index of several parts.
_INDEXING: Final = ("select", "slice", "index", "unsqueeze")


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Where a value is seen: a node's value, or what goes into or comes out of a submodule of the module it calls."""

    node: str
    part: Literal["", "bn.input", "bn.output"] = ""


@dataclass(frozen=True, kw_only=True)
class Quantizing:
    """A node, by name, that quantizes, fakes it or observes for it; `tensor` is a site's name, or "conv.weight".

    `passed_on` is the node that has the values which other layers read: the node itself, or
    the one that dequantizes its integers; None where nothing does. `rounds` counts how often
    the tensor is quantized in a row up to here.
    """

    tensor: str
    site: str | None
    node: str
    kind: Kind
    passed_on: str | None
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A program's nodes on the layout of the float model.

    `computed` says where each site's value is seen; a site that is fused into a later one is
    missing there, and `fused` names the sites that are computed as one with the last of them.
    `quantized` has the node that quantizes a site's value, `quantizing` all that quantize
    anything. `owner` maps a node's name to its site's key, `factor_eps` a batch norm that is
    fused for training to the eps in its scale factor, `nested` a site that is computed in a graph
    inside the graph to the op that runs that. `unclaimed` are the names of nodes that compute
    on the inputs and belong to no site.
    """

    computed: Mapping[str, Probe]
    quantized: Mapping[str, Quantizing]
    quantizing: tuple[Quantizing, ...]
    fused: Mapping[str, tuple[str, ...]]
    owner: Mapping[str, str]
    factor_eps: Mapping[str, float | None]
    nested: Mapping[str, str] = field(default_factory=dict)
    unclaimed: tuple[str, ...] = ()

    def probes(self) -> frozenset[Probe]:
        """All values that are worth recording."""
        quantized = [item for item in self.quantized.values() if item.kind != "observer"]
        nodes = {node for item in quantized for node in (item.node, item.passed_on) if node is not None}
        return frozenset({*self.computed.values(), *(Probe(node=node) for node in nodes)})


def place(layout: Layout, program: fx.GraphModule) -> Placement:
    """The layers of the float model in a prepared or converted program of any pipeline."""
    return _Placing(layout, program).placement()


@dataclass
class _Placing:
    layout: Layout
    program: fx.GraphModule
    bearers: dict[str, fx.Node] = field(default_factory=dict)
    owner: dict[fx.Node, str] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    nested: dict[str, str] = field(default_factory=dict)

    def placement(self) -> Placement:
        active = _active(self.program.graph)
        nodes = [
            node for node in self.program.graph.nodes if node in active and not quantizes(node) and not _ignored(node)
        ]
        norms = list(fused_norms(self.program.graph)) if is_exported(self.program.graph) else []
        self._claim_inputs()
        if is_exported(self.program.graph):
            self.owner.update(claims(self.layout, unnested(nodes), norms))
            self.nested = {self.owner[node]: op for node, op in nested_nodes(nodes).items() if node in self.owner}
        else:
            self.owner.update(_claims_by_name(self.layout, nodes))
        self._adopt(nodes, norms)
        for node in nodes:
            if node in self.owner and not self._selects(node):
                self.bearers[self.owner[node]] = node
        for key, node in self.bearers.items():
            self.probes[key] = Probe(node=node.name)
        factor_eps = self._place_norms(norms)
        for key in list(self.bearers):
            self._fuse(key)
        self._merge_picks()
        quantizing = tuple(self._quantizing())
        quantized: dict[str, Quantizing] = {}
        for item in quantizing:
            if item.site is not None and (item.site not in quantized or quantized[item.site].kind == "observer"):
                quantized[item.site] = item
        inner = {node for norm in norms for node in norm.inner}
        return Placement(
            computed=self.probes,
            quantized=quantized,
            quantizing=quantizing,
            fused=self.fused,
            # The names of nodes in nested graphs are their own, and may be those of other nodes here.
            owner={node.name: key for node, key in self.owner.items() if node.graph is self.program.graph},
            factor_eps=factor_eps,
            nested=self.nested,
            unclaimed=tuple(node.name for node in nodes if node not in inner and self._is_unclaimed(node)),
        )

    def _claim_inputs(self) -> None:
        inputs = [site.key for site in self.layout.sites.values() if site.kind == "input"]
        placeholders = [node for node in self.program.graph.nodes if node.op == "placeholder"]
        for node in placeholders:
            if node.name in inputs:
                self.owner[node] = node.name
        if len(inputs) == len(placeholders):
            self.owner.update(dict(zip(placeholders, inputs)))

    def _adopt(self, nodes: list[fx.Node], norms: list[FusedNorm]) -> None:
        """Give nodes that lost their metadata to the layer of their kind that reads the same layers.

        The switch of an exported program from training to evaluation makes its batch norms and
        dropouts anew.
        """
        operands = {norm.value: norm.operand for norm in norms}
        inner = {node for norm in norms for node in norm.inner}
        taken = set(self.owner.values())
        for node in nodes:
            if node in self.owner or node in inner:
                continue
            origins = [self._past_indexing(past_quantizing(source)) for source in node.all_input_nodes]
            sources = {self.owner.get(operands.get(origin, origin)) for origin in origins} - {None}
            for site in self.layout.sites.values():
                if site.key not in taken and kin(site.op) == kin(op_name(node)) and self._reads(site, taken) == sources:
                    self.owner[node] = site.key
                    taken.add(site.key)
                    break

    def _past_indexing(self, node: fx.Node) -> fx.Node:
        """The node that an index picks from, where the ops that aten has for the index belong to no layer."""
        while node not in self.owner and op_name(node) in _INDEXING:
            node = past_quantizing(node.all_input_nodes[0])
        return node

    def _reads(self, site: Site, taken: set[str]) -> set[str]:
        """The layers that a site reads; for what has no node of its own the layer that gives it."""
        found = set()
        for key in site.inputs:
            source = self.layout.sites[key]
            while source.key not in taken and source.inputs and _leaves_no_node(source):
                source = self.layout.sites[source.inputs[0]]
            found.add(source.key)
        return found

    def _selects(self, node: fx.Node) -> bool:
        """Whether a node only picks an output of the layer that it belongs to; one of a nested graph is its value.

        So is the first of a batch norm, which up to torch 2.5 gives its statistics, too.
        """
        if op_name(node) != "getitem" or self.layout.sites[self.owner[node]].op == "getitem":
            return False
        source, index = node.args
        if not isinstance(source, fx.Node):
            return True
        return nested_graph(source) is None and not (op_name(source) == "batch_norm" and index == 0)

    def _is_unclaimed(self, node: fx.Node) -> bool:
        """Whether a node computes what belongs to no layer."""
        known = node in self.owner or node.name in self.layout.without_tensors
        return not (known or finds_range(node) or nested_graph(node) is not None)

    def _place_norms(self, norms: list[FusedNorm]) -> Mapping[str, float | None]:
        placed = {}
        for norm in norms:
            owner, operand = self.owner.get(norm.norm), self.owner.get(norm.operand)
            if owner is not None:
                placed[owner] = norm.eps
                self.owner.update({node: owner for node in norm.inner if node not in self.owner})
            if operand is not None:
                self.bearers[operand] = norm.value
                self.probes[operand] = Probe(node=norm.value.name)
        return placed

    def _fuse(self, key: str) -> None:
        """Give a layer's value to the layers that were fused into it, which have no node of their own."""
        chain = list(self._absent_after(key))
        if not chain:
            return
        node, probe = self.bearers[key], self.probes[key]
        last = key
        for site in chain:
            self.bearers[site.key], self.probes[site.key] = node, probe
            if not site.passing:
                last = site.key
        members = [key, *(site.key for site in chain)]
        merged = members[: members.index(last)]
        if not merged:
            return
        self.fused[last] = tuple(merged)
        for member in merged:
            del self.probes[member]
        self._look_inside(node, merged, chain[0].key)

    def _merge_picks(self) -> None:
        """Of several outputs that a module has, aten ops compute only the one that the model picks."""
        for site in self.layout.sites.values():
            source = site.inputs[0] if site.op == "getitem" and site.index == 0 and site.inputs else ""
            if source not in self.probes or site.key in self.bearers or self.layout.sites[source].kind != "module":
                continue
            others = [item.key for item in self.layout.consumers(source) if item.key != site.key]
            if any(key in self.layout.outputs or self.layout.consumers(key) for key in others):
                continue
            self.bearers[site.key], self.probes[site.key] = self.bearers[source], self.probes.pop(source)
            self.fused[site.key] = (*self.fused.pop(source, ()), source)

    def _look_inside(self, node: fx.Node, merged: list[str], norm: str) -> None:
        """A fused module of quantization-aware training shows its parts' values around its batch norm."""
        module = called_module(node)
        if not hasattr(module, "weight_fake_quant") or not isinstance(getattr(module, "bn", None), nn.Module):
            return
        self.probes[merged[0]] = Probe(node=node.name, part="bn.input")
        self.probes[norm] = Probe(node=node.name, part="bn.output")

    def _absent_after(self, key: str) -> Iterator[Site]:
        while True:
            consumers = self.layout.consumers(key)
            if len(consumers) != 1 or key in self.layout.outputs:
                return
            (site,) = consumers
            if site.key in {*self.bearers, *self.nested} or not (is_fusable(site) or site.passing):
                return
            yield site
            key = site.key

    def _quantizing(self) -> Iterator[Quantizing]:
        sites = {node: key for key, node in self.bearers.items() if key in self.probes}
        for node in self.program.graph.nodes:
            kind = quantizing_kind(node)
            if kind is None:
                continue
            source = past_quantizing(node)
            site = sites.get(source)
            if site is not None:
                self.owner[node] = site
                yield _seen(self.layout.sites[site].name, site, node, kind)
                continue
            for tensor in dict.fromkeys(self._operand_names(node)):
                yield _seen(tensor, None, node, kind)

    def _operand_names(self, node: fx.Node) -> Iterator[str]:
        """What a quantized parameter, or a value inside a layer, is to each layer that reads it: "conv.weight"."""
        for user in readers(node):
            if user not in self.owner:
                continue
            self.owner.setdefault(node, self.owner[user])
            yield f"{self.layout.sites[self.owner[user]].name}.{operand_name(user, node)}"


def kin(op: str) -> str:
    """What a module and the ops that compute it have in common: "batchnorm" of BatchNorm2d and batch_norm."""
    return re.sub(r"[123]d$", "", op.lower().replace("_", ""))


def _seen(tensor: str, site: str | None, node: fx.Node, kind: Kind) -> Quantizing:
    return Quantizing(
        tensor=tensor, site=site, node=node.name, kind=kind, passed_on=passed_on(node), rounds=rounds(node)
    )


def _active(graph: fx.Graph) -> frozenset[fx.Node]:
    """The nodes that depend on an input of the program."""
    active: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in active for source in node.all_input_nodes):
            active.add(node)
    return frozenset(active)


def _ignored(node: fx.Node) -> bool:
    return node.op in {"output", "get_attr"} or not node.users


def _claims_by_name(layout: Layout, nodes: list[fx.Node]) -> dict[fx.Node, str]:
    """FX's own graphs keep the modules' paths and the names of the float graph's nodes.

    The name goes first: one of two calls of a module may be gone, fused into the layer before.
    """
    sites: dict[tuple[str, int], str] = {
        (site.path, site.call): site.key for site in layout.sites.values() if site.kind == "module"
    }
    calls: dict[str, int] = {}
    found: dict[fx.Node, str] = {}
    for node in nodes:
        if node.op == "call_module":
            path = str(node.target)
            call = calls[path] = calls.get(path, -1) + 1
            named = layout.sites.get(node.name)
            key = named.key if named is not None and named.path == path else sites.get((path, call))
        else:
            key = node.name if node.name in layout.sites else None
        if key is not None:
            found[node] = key
    return found


def is_fusable(site: Site) -> bool:
    """Whether a layer is of the kind that is computed as one with the layer before it."""
    name = site.op.lower()
    return "batchnorm" in name or "batch_norm" in name or "relu" in name


def _leaves_no_node(site: Site) -> bool:
    """Whether a site may have no node of its own in an exported program.

    So it is with what does nothing, with the first of several outputs, and with an index of several parts.
    """
    return site.op == "Identity" or (site.op == "getitem" and (site.index == 0 or not isinstance(site.index, int)))
