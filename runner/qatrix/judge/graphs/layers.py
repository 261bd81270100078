"""The nodes of a program, and which of them are layers with weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from torch import fx, nn

from qatrix.judge.graphs.facts import graphs_of
from qatrix.judge.graphs.ops import called_module, op_name

# The axis of the output channels in the weight of each op, as torch.nn.functional documents their shapes.
OUTPUT_AXIS: Final[Mapping[str, int]] = {"conv": 0, "conv_transpose": 1, "linear": 0}
_WEIGHTED: Final[Mapping[str, tuple[type[nn.Module], ...]]] = {
    "conv_transpose": (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    "conv": (nn.Conv1d, nn.Conv2d, nn.Conv3d),
    "linear": (nn.Linear,),
}


def nodes_of(program: nn.Module) -> Iterator[fx.Node]:
    """The nodes of all graphs of a program."""
    return (node for graph in graphs_of(program) for node in graph.nodes)


def weighted_op(node: fx.Node) -> str | None:
    """The op with a weight that a node is, or that the module is which it calls; a fused module goes by its layer."""
    if node.op == "call_function":
        name = op_name(node)
        return name if name in OUTPUT_AXIS else None
    if node.op != "call_module":
        return None
    return next(
        (name for part in fused_parts(node) for name, kinds in _WEIGHTED.items() if isinstance(part, kinds)), None
    )


def fused_parts(node: fx.Node) -> tuple[nn.Module, ...]:
    """The module that a node calls, and where that is a sequence its parts."""
    module = called_module(node)
    if module is None:
        return ()
    return (module, *module.children()) if isinstance(module, nn.Sequential) else (module,)


def ends_in_a_weight(node: fx.Node) -> bool:
    """Whether it is a convolution or linear layer with nothing fused behind it, such as a ReLU."""
    return weighted_op(node) is not None and (
        node.op == "call_function" or any(isinstance(fused_parts(node)[-1], kinds) for kinds in _WEIGHTED.values())
    )
