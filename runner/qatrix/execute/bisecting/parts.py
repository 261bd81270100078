"""Parts of a program that run by themselves."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from torch import fx

from qatrix.execute.bisecting.cuts import Cut, Outline, is_plain
from qatrix.judge.graphs.operands import operand

# What convert_fx reads of a prepared program.
_PREPARED: Final = "_observed_graph_module_attrs"
_BY_NODE: Final = ("node_name_to_qconfig", "node_name_to_scope", "equalization_node_name_to_qconfig")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a program as a program of its own: it takes the values in `inputs` in their order, and gives one.

    `from_inputs` says whether it begins with the inputs of the program alone, `names` which those are then.
    `fixed` says whether it holds a size that the program reads of its inputs.
    """

    module: fx.GraphModule
    inputs: tuple[Any, ...]
    output: Cut
    names: tuple[str, ...]
    from_inputs: bool
    fixed: bool


def part(outline: Outline, inputs: Collection[Cut], output: Cut) -> Part:
    """The shortest part that computes the value at a cut from those at other cuts, and from inputs of the program.

    It begins with rounding what it is given, and ends with rounding what it gives, as the program does there. Names
    and metadata of nodes stay, parameters are shared. Sizes that the program reads of its inputs are those of the
    reference's run, unless the part has all that they are read of.
    """
    return _Cutting(outline, {cut.read: cut for cut in inputs}, output).part()


@dataclass
class _Cutting:
    outline: Outline
    begins: dict[str, Cut]
    output: Cut
    fixed: bool = False

    def part(self) -> Part:
        program = self.outline.program
        needed = self._needed()
        graph = fx.Graph()
        taken: dict[fx.Node, Any] = {}
        values: list[Any] = []
        # Inputs first, as in a graph that was traced; each has the name of the value that it stands for.
        for node in program.graph.nodes:
            if node in needed and (node.name in self.begins or node.op == "placeholder"):
                cut = self.begins.get(node.name)
                source = node if cut is None else self.outline.nodes[cut.source]
                taken[node] = self._placeholder(graph, source)
                values.append(self.outline.plain(node) if cut is None else self.outline.value(cut))
        for node in program.graph.nodes:
            if node not in needed or (node in taken and not self._rounds(node)):
                continue
            number = self._number(node)
            if number is not None:
                taken[node] = number
                self.fixed = True
            elif node in taken:
                taken[node] = self._rounded(graph, node, taken)
            else:
                taken[node] = graph.node_copy(node, taken.__getitem__)
        graph.output(taken[self.outline.nodes[self.output.shown]])
        graph.lint()
        module = fx.GraphModule(program, graph, type(program).__name__)
        module.meta = _metadata(program, {node.name for node in graph.nodes})
        return Part(
            module=module,
            inputs=tuple(values),
            output=self.output,
            names=tuple(node.name for node in graph.nodes if node.op == "placeholder"),
            from_inputs=not self.begins,
            fixed=self.fixed,
        )

    def _rounds(self, node: fx.Node) -> bool:
        cut = self.begins.get(node.name)
        return cut is not None and cut.read != cut.source

    def _placeholder(self, graph: fx.Graph, node: fx.Node) -> fx.Node:
        made = graph.create_node("placeholder", node.name, name=node.name)
        made.meta = copy.copy(node.meta)
        return made

    def _rounded(self, graph: fx.Graph, node: fx.Node, taken: dict[fx.Node, Any]) -> fx.Node:
        """A node that rounds, reading what the part is given in the place of what computes it."""
        given = taken[node]
        source = operand(node, 0)
        return graph.node_copy(node, lambda item: given if item is source else taken[item])

    def _number(self, node: fx.Node) -> Any:
        """The value of a node that is no tensor, such as a size, in a part that does not begin with the inputs."""
        if not self.begins or node.op in {"placeholder", "get_attr"}:
            return None
        value = self.outline.plain(node)
        return value if is_plain(value) else None

    def _needed(self) -> set[fx.Node]:
        needed: set[fx.Node] = set()
        left = [self.outline.nodes[self.output.shown]]
        while left:
            node = left.pop()
            if node in needed:
                continue
            needed.add(node)
            if node.name in self.begins:
                # What it rounds is given; its scale may be a constant of the program.
                source = operand(node, 0)
                left += [item for item in node.all_input_nodes if item is not source and self._rounds(node)]
            elif self._number(node) is None:
                left += node.all_input_nodes
        return needed


def _metadata(program: fx.GraphModule, names: set[str]) -> dict[str, Any]:
    """The program's own metadata; of what a prepared one knows of its nodes, what is about these."""
    meta = dict(program.meta)
    known = meta.get(_PREPARED)
    if known is None:
        return meta
    by_node = {name: {key: item for key, item in getattr(known, name).items() if key in names} for name in _BY_NODE}
    meta[_PREPARED] = dataclasses.replace(
        known, **by_node, observed_node_names={name for name in known.observed_node_names if name in names}
    )
    return meta
