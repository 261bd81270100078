"""What a program computes as one, and the values that this reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx

from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.placement import Placement, kin
from qatrix.judge.diagnosis.quantizing import past_quantizing, quantizes
from qatrix.judge.graphs.layers import weighted_op
from qatrix.judge.graphs.ops import op_name


@dataclass(frozen=True, kw_only=True)
class Group:
    """Sites that a program computes as one, in order, and the nodes that do so.

    `bearer` is the node that has the value of the last site; `reads` maps a node to the site whose
    value it is read as, for each reading node.
    """

    keys: tuple[str, ...]
    bearer: str
    reads: Mapping[str, Mapping[str, str]]

    @property
    def last(self) -> str:
        """The site whose value the bearer has."""
        return self.keys[-1]


def groups_of(layout: Layout, placement: Placement, program: fx.GraphModule) -> tuple[Group, ...]:
    """The groups that can be judged by themselves, in the order of the graph."""
    owned: dict[str, list[fx.Node]] = {}
    for node in program.graph.nodes:
        key = placement.owner.get(node.name)
        if key is not None and not quantizes(node):
            owned.setdefault(key, []).append(node)
    merged = {member for members in placement.fused.values() for member in members}
    bearers: dict[str, set[str]] = {}
    for key, probe in placement.computed.items():
        if key not in merged:
            bearers.setdefault(probe.node, set()).add(key)
    found = (
        _group(layout, placement, key, owned, bearers)
        for key in placement.computed
        if layout.sites[key].kind != "input" and key not in merged and key not in placement.nested
    )
    elsewhere = _unclaimed_kinds(placement, program)
    owners = set(placement.owner.values())
    order = {node.name: place for place, node in enumerate(program.graph.nodes)}
    return tuple(
        sorted(
            (
                group
                for group in found
                if group is not None
                and not any(kin(layout.sites[key].op) in elsewhere for key in group.keys if key not in owners)
            ),
            key=lambda group: order[group.bearer],
        )
    )


def _group(
    layout: Layout,
    placement: Placement,
    key: str,
    owned: Mapping[str, list[fx.Node]],
    bearers: Mapping[str, set[str]],
) -> Group | None:
    keys = (*placement.fused.get(key, ()), key)
    # A batch norm fused for training owns ops that belong to the layer before it, too, and the last has its value.
    nodes = [node for member in keys for node in owned.get(member, []) if not bearers.get(node.name, set()) - set(keys)]
    if not nodes:
        return None
    wanted = {source for member in keys for source in layout.sites[member].inputs} - set(keys)
    inside = {node.name for node in nodes}
    reads: dict[str, dict[str, str]] = {}
    seen: dict[str, str] = {}
    for node in nodes:
        for source in node.all_input_nodes:
            if source.name in inside:
                continue
            origin = past_quantizing(source)
            if origin is not source and (origin.name in inside or _is_operand(origin, node)):
                # What is quantized inside of a layer, or a constant that is, is no step of the float model.
                return None
            for site in bearers.get(origin.name, set()) & wanted:
                if seen.setdefault(site, source.name) != source.name:
                    return None
                reads.setdefault(node.name, {})[source.name] = site
    if set(seen) != wanted:
        return None
    return Group(keys=keys, bearer=placement.computed[key].node, reads=reads)


def _unclaimed_kinds(placement: Placement, program: fx.GraphModule) -> frozenset[str]:
    """The kinds of ops whose layer does not show, as on old releases: a layer of such a kind may not be fused."""
    unclaimed = set(placement.unclaimed)
    return frozenset(kin(op_name(node)) for node in program.graph.nodes if node.name in unclaimed)


def _is_operand(origin: fx.Node, reader: fx.Node) -> bool:
    """Whether a value is a constant that is no weight or bias of the layer that reads it."""
    return origin.op == "get_attr" and weighted_op(reader) is None
