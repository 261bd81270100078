"""A runtime that runs a converted program op by op, and gets one layer wrong where it is told to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.graph import _PyTreeCodeGen
from torch.utils import _pytree as pytree

FAULTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "scale": lambda _, given: given * 1.5,
    "clamp": lambda _, given: given.clamp(max=given.max() / 2),
    "drop": lambda read, _: read,
}


class Interpreter:
    """The runtime, with the options that stand beside its name in YAML: fault and layer, or none."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.fault, self.layer = options.get("fault"), options.get("layer")
        if options and (options.keys() != {"fault", "layer"} or self.fault not in FAULTS):
            msg = f"cannot be told {dict(options)}; expected layer, and fault: {', '.join(FAULTS)}"
            raise ValueError(msg)

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> OpByOp:
        """What runs the model."""
        if not isinstance(model, fx.GraphModule):
            msg = f"cannot run a {type(model).__name__}; expected a program with a graph"
            raise TypeError(msg)
        return OpByOp(model, self.fault, self.layer)


class OpByOp(fx.Interpreter):
    """Runs a program, or a part of one; what goes wrong is the last op of the layer."""

    def __init__(self, program: fx.GraphModule, fault: str | None, layer: str | None) -> None:
        super().__init__(program)
        self.ops = [node for node in program.graph.nodes if node.op.startswith("call_") and node.users]
        there = [node for node in self.ops if layer in layers_of(node) and not rounds(node)]
        self.wrong, self.change = (there[-1] if there else None), FAULTS.get(str(fault))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        graph = self.module.graph
        if isinstance(graph._codegen, _PyTreeCodeGen):
            given = pytree.tree_leaves((args, kwargs))
        else:
            names = [node.target for node in graph.nodes if node.op == "placeholder"]
            given = [*args, *(kwargs[name] for name in names[len(args) :] if name in kwargs)]
        return graph.process_outputs(self.run(*given, enable_io_processing=False))

    def run_node(self, n: fx.Node) -> Any:
        """The value of a node."""
        value = super().run_node(n)
        if n is not self.wrong or self.change is None:
            return value
        return self.change(self.env[n.all_input_nodes[0]], value)

    def ran(self) -> dict[str, Any]:
        """What ran where, for reports: all in floating point, between ops that round."""
        counts = Counter((name_of(node), "none" if rounds(node) else "float", layers_of(node)) for node in self.ops)
        return {"kernels": [(name, kind, count, layers) for (name, kind, layers), count in counts.items()]}


def layers_of(node: fx.Node) -> tuple[str, ...]:
    """The layer of the float model that an op belongs to, as far as the program says: none or one."""
    if node.op == "call_module":
        return (str(node.target),)
    paths = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return (paths[-1].removeprefix("L['self']."),) if paths else ()


def rounds(node: fx.Node) -> bool:
    """Whether an op does nothing but quantize or dequantize."""
    return "quantize" in str(node.target) and node.op != "call_module"


def name_of(node: fx.Node) -> str:
    """An op's name; of a module its class."""
    if node.op == "call_module":
        return type(node.graph.owning_module.get_submodule(str(node.target))).__name__
    return str(getattr(node.target, "__name__", node.target))


class Tower(nn.Module):
    """Twelve layers, every second of them linear: a model that YAML may name."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.ReLU() if number % 2 else nn.Linear(width, width) for number in range(12)))
        for parameter in self.layers.parameters():
            # Through six halvings the input still reaches the output.
            nn.init.orthogonal_(parameter, gain=2**0.5) if parameter.dim() > 1 else nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """What the last layer gives."""
        return self.layers(x)
