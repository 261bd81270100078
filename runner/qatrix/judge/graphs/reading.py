"""Parameters and buffers that a float model reads, and that nothing reads once it is converted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor, fx, nn

from qatrix.judge.graphs.operands import operands
from qatrix.judge.graphs.ops import called_module, constant_value, is_observing, op_name

# What a quantize or dequantize op reads beside the value.
_SETTINGS: Final = frozenset({"scale", "zero_point", "scales", "zero_points"})


@dataclass(frozen=True, kw_only=True)
class Held:
    """A parameter or buffer of the float model: all its names, more than one where it is tied, and its elements."""

    names: tuple[str, ...]
    size: int
    trainable: bool = True


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A convolution or linear layer by what it reads: what its weight comes from, and its bias."""

    weight: frozenset[Held]
    bias: Held | None = None


@dataclass(frozen=True, kw_only=True)
class Read:
    """What one op of the float model reads beside its input: a tensor, or several that are put together before.

    `size` is the number of elements of what is read. A batch norm has `norm`, and where it is right
    behind a convolution or linear layer, or another such batch norm, `layer`, into which it can be folded.
    """

    tensors: tuple[Held, ...]
    size: int
    norm: bool = False
    layer: Layer | None = None


def unread(program: nn.Module, reads: Collection[Read]) -> list[str]:
    """The names of what the float model reads and the outputs of a converted program depend on no more.

    What is there under its name is read. Quantizing and folding give new names, so that the rest
    is matched by size with what the float model has no name for, each with one; batch norms that
    are folded into a layer leave one bias.
    """
    matching = _Matching(list(_constants(program)), reads)
    # A bias that is folded with the batch norm behind it is gone together with that.
    found = [held for read in sorted(reads, key=lambda read: not read.norm) for held in matching.missing(read)]
    return [held.names[0] for held in dict.fromkeys(found)]


class _Matching:
    """What a converted program reads: by its names in the float model, and the sizes of what has none there."""

    def __init__(self, constants: Sequence[tuple[str, int]], reads: Collection[Read]) -> None:
        known = {name for read in reads for held in read.tensors for name in _plain(held)}
        self._present = {_plain_name(name) for name, _ in constants}
        self._spare = Counter(size for name, size in constants if _plain_name(name) not in known)
        self._done: set[Held] = set()
        self._folding: set[Layer] = set()

    def missing(self, read: Read) -> list[Held]:
        """What of a read is nowhere in the program; what was looked for before is not looked for again."""
        gone = [held for held in read.tensors if held not in self._done and not self._is_present(held)]
        self._done.update(gone)
        if not gone:
            return []
        if read.layer is not None and self._folds(read.layer, read.size):
            return []
        own = [held.size for held in gone]
        sizes = [*own, read.size] if len(own) == 1 else [read.size, *own]
        return [] if self._takes(sizes) else gone

    def _folds(self, layer: Layer, size: int) -> bool:
        """Whether a layer has a bias that a batch norm can be folded into; it is looked for once."""
        if layer.bias is not None and self._is_present(layer.bias):
            return True
        if layer not in self._folding and self._takes([size]):
            self._folding.add(layer)
            self._done |= set() if layer.bias is None else {layer.bias}
        return layer in self._folding

    def _is_present(self, held: Held) -> bool:
        return not self._present.isdisjoint(_plain(held))

    def _takes(self, sizes: Sequence[int]) -> bool:
        size = next((size for size in sizes if self._spare[size]), None)
        if size is None:
            return False
        self._spare[size] -= 1
        return True


def _plain(held: Held) -> list[str]:
    return [_plain_name(name) for name in held.names]


def _plain_name(name: str) -> str:
    """A name as all releases write it: some put underscores in the place of dots."""
    return name.replace(".", "_")


def _constants(program: nn.Module, prefix: str = "") -> Iterator[tuple[str, int]]:
    """The names and sizes of what a program's outputs depend on, without the parameters of quantization."""
    if not isinstance(program, fx.GraphModule):
        yield from ((prefix + name, value.numel()) for name, value in _held_by(program))
        return
    live = _live(program.graph)
    for node in live:
        if node.op == "call_module" and (module := called_module(node)) is not None and not is_observing(module):
            yield from _constants(module, f"{prefix}{node.target}.")
        elif node.op == "get_attr":
            value = constant_value(node)
            if isinstance(value, nn.Module):
                yield from _constants(value, f"{prefix}{node.target}.")
            elif isinstance(value, Tensor) and not _only_sets(node, live):
                yield f"{prefix}{node.target}", value.numel()


def _live(graph: fx.Graph) -> dict[fx.Node, None]:
    """The nodes that the outputs depend on."""
    left = [node for node in graph.nodes if node.op == "output"]
    found = dict.fromkeys(left)
    while left:
        fresh = [node for node in left.pop().all_input_nodes if node not in found]
        found |= dict.fromkeys(fresh)
        left += fresh
    return found


def _only_sets(node: fx.Node, live: Collection[fx.Node]) -> bool:
    """Whether a node is a scale or zero point wherever it is read."""
    return all(_is_setting(node, user) for user in node.users if user in live)


def _is_setting(node: fx.Node, user: fx.Node) -> bool:
    if not op_name(user).startswith(("quantize", "dequantize")):
        return False
    return all(name in _SETTINGS for name, value in operands(user).items() if value is node)


def _held_by(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a module that is called whole; a reference module's scales are no parameters."""
    references = tuple(
        f"{name}." if name else "" for name, part in module.named_modules() if hasattr(part, "weight_scale")
    )
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        owner, dot, last = name.rpartition(".")
        if not (last.startswith("weight_") and owner + dot in references):
            yield name, value
