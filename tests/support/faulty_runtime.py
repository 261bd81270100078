"""A runtime that interprets what it is given, but for one layer, which it computes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor, fx
from torch.utils import _pytree as pytree

from qatrix.judge.graphs.ops import base_name
from qatrix.judge.graphs.places import layer_of
from qatrix.lowerings import Kernel, Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program

Fault = Callable[[fx.Node, Tensor], Tensor]

# What a wrong kernel makes of a right value.
FAULTS: Final[Mapping[str, Fault]] = {
    "scales": lambda _, value: value * 1.5,
    "clamps": lambda _, value: value.clamp(-0.1, 0.1),
    "drops": lambda _, value: value * 0,
}


@dataclass
class Faulty:
    """Computes the layers in `wrong`, by their names in the float model, wrong, and keeps what it lowers.

    Names of layers are those of the whole program: a part of it has another number of calls. Parts whose last op
    is one of `refuses` cannot be lowered.
    """

    wrong: Mapping[str, Fault]
    whole: fx.GraphModule
    refuses: frozenset[str] = frozenset()
    lowered: list[Program] = field(default_factory=list)

    def __call__(self, program: Program) -> FaultyProgram:
        self.lowered.append(program)
        module = program.module
        assert isinstance(module, fx.GraphModule)
        layers = {node.name: layer_of(node) for node in self.whole.graph.nodes if node.op.startswith("call")}
        *_, last = (layers[node.name] for node in module.graph.nodes if _is_op(node) and node.name in layers)
        if last in self.refuses:
            msg = "planted: no such kernel here"
            raise RuntimeError(msg)
        return FaultyProgram(module, {name: self.wrong[layer] for name, layer in layers.items() if layer in self.wrong})


@dataclass
class FaultyProgram:
    """A program in that runtime."""

    module: fx.GraphModule
    wrong: Mapping[str, Fault]

    def run(self, inputs: Inputs) -> object:
        """What the runtime makes of them."""
        return _Interpreter(self.module, self.wrong).run(*inputs.copies().in_order(self.module))

    def ran(self) -> Ran:
        """One kernel for each op."""
        nodes = [node for node in self.module.graph.nodes if node.op.startswith("call")]
        return Ran(
            kernels=tuple(
                Kernel(name=f"fake.{base_name(node)}", arithmetic="integers" if _is_op(node) else "none")
                for node in nodes
            )
        )


def _is_op(node: fx.Node) -> bool:
    quantizing = ("quantize_per", "dequantize", "activation_post")
    return node.op.startswith("call") and not base_name(node).startswith(quantizing)


class _Interpreter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, wrong: Mapping[str, Fault]) -> None:
        super().__init__(module)
        self._wrong = wrong

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        fault = self._wrong.get(n.name)
        # A placeholder has the name of what it stands for.
        if fault is None or n.op == "placeholder":
            return value
        return pytree.tree_map_only(Tensor, lambda tensor: fault(n, tensor), value)
