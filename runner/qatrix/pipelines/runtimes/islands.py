"""What is left in floating point in a lowered graph: ops between dequantize and quantize ops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from torch import fx

# Ops that hand values on, or choose among them: the same codes come out, whichever arithmetic they are in.
_MOVES: Final = frozenset(
    """
    alias cat chunk clone concat concatenate contiguous dropout expand flatten getitem identity index_select
    max_pool1d max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices maxpool1d maxpool2d maxpool3d
    narrow permute pixel_shuffle relu relu_ reshape select slice split split_with_sizes squeeze squeeze_ stack t
    transpose unbind unflatten unsqueeze unsqueeze_ view
    """.split()
)
# Ops of an activation and a weight, or of two activations, which are quantized where both are.
_PRODUCTS: Final = ("conv", "linear", "mm", "addmm", "bmm", "matmul", "scaled_dot_product_attention")


class Reader(Protocol):
    """How a runtime's graph is read."""

    def quantizes(self, node: fx.Node) -> bool:
        """Whether a node gives integers that stand for real numbers, or takes real numbers and does so inside."""

    def dequantizes(self, node: fx.Node) -> bool:
        """Whether a node gives the real numbers that integers stand for."""

    def name(self, node: fx.Node) -> str:
        """The plain name of what a node calls: "max_pool2d"."""


def left_in_float(graph: fx.Graph, reader: Reader) -> Iterator[fx.Node]:
    """The nodes that compute in floating point though all that they read is dequantized and their value is quantized.

    For a product, such as a convolution, that both its operands are dequantized suffices, where it reads both. Ops that
    only move or select values are none of them.
    """
    for node in graph.nodes:
        if node.op not in {"call_function", "call_method", "call_module"} or _passes(node, reader):
            continue
        operands = [source for source in node.all_input_nodes if _is_value(source)]
        if not operands:
            continue
        both = len(operands) > 1 and _is_product(reader.name(node))
        read = operands[:2] if both else operands
        if all(_from_integers(source, reader) for source in read) and (both or _to_integers(node, reader)):
            yield node


def is_move(name: str) -> bool:
    """Whether an op of that plain name only moves or selects values."""
    return name in _MOVES


def move_names() -> tuple[str, ...]:
    """The plain names of the ops that only move or select values."""
    return tuple(sorted(_MOVES))


def _passes(node: fx.Node, reader: Reader) -> bool:
    """Whether a node computes nothing: it quantizes, dequantizes or moves values."""
    return reader.quantizes(node) or reader.dequantizes(node) or is_move(reader.name(node))


def _is_product(name: str) -> bool:
    return any(name == known or (known == "conv" and name.startswith(known)) for known in _PRODUCTS)


def _is_value(node: fx.Node) -> bool:
    """Whether a node may be a number of the model's: sizes are none, nor are parameters that are read as they are."""
    return node.op != "get_attr" and node.target not in {"size", "dim"}


def _from_integers(node: fx.Node, reader: Reader) -> bool:
    """Whether a value is a dequantized one, moved or not."""
    if reader.dequantizes(node):
        return True
    sources = [source for source in node.all_input_nodes if _is_value(source)]
    return bool(sources) and is_move(reader.name(node)) and all(_from_integers(item, reader) for item in sources)


def _to_integers(node: fx.Node, reader: Reader) -> bool:
    """Whether all that read a value quantize it, after moves or at once."""
    return bool(node.users) and all(
        reader.quantizes(user) or (is_move(reader.name(user)) and _to_integers(user, reader)) for user in node.users
    )
