"""What a model is called with: its positional and its keyword arguments, in one value."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.graph import _PyTreeCodeGen
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call: tensors, or nested tuples, lists and dicts of them.

    `free` has the axes of each tensor whose lengths a capture leaves open, with the names of their
    sizes; it is empty where all are fixed.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[tuple[tuple[int, str], ...], ...] = ()

    @classmethod
    def of(cls, *tensors: Tensor) -> Inputs:
        """Tensors by position alone."""
        return cls(tensors)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, the positional arguments' first."""
        return tuple(leaf for leaf in pytree.tree_leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor))

    @property
    def values(self) -> tuple[Any, ...]:
        """The arguments themselves, the positional ones first."""
        return (*self.args, *self.kwargs.values())

    def map(self, change: Callable[[Tensor], Any]) -> Inputs:
        """The same arguments with other tensors in them."""
        args, kwargs = pytree.tree_map_only(Tensor, change, (self.args, dict(self.kwargs)))
        return Inputs(args, kwargs, self.free)

    def larger(self) -> Inputs:
        """The same arguments twice as long along each free axis, their values one time after the other."""
        free = iter(self.free)
        return self.map(lambda tensor: _doubled(tensor, next(free)))

    def sizes(self) -> Mapping[str, int]:
        """The lengths of the free axes, by the names of their sizes."""
        return {name: tensor.shape[axis] for tensor, axes in zip(self.tensors, self.free) for axis, name in axes}

    def copies(self) -> Inputs:
        """Copies, which an op in place may write to."""
        return self.map(lambda tensor: tensor.clone())

    def call(self, function: Callable[..., Any]) -> Any:
        """What a function returns for copies of the arguments."""
        given = self.copies()
        return function(*given.args, **given.kwargs)

    def in_order(self, program: fx.GraphModule) -> tuple[Any, ...]:
        """The arguments in the order of a graph's placeholders, which is how an interpreter takes them.

        An exported program has a placeholder for each tensor, another graph one for each parameter.
        """
        if isinstance(program.graph._codegen, _PyTreeCodeGen):
            return tuple(pytree.tree_leaves((self.args, dict(self.kwargs))))
        rest = [node for node in program.graph.nodes if node.op == "placeholder"][len(self.args) :]
        while rest and rest[-1].target not in self.kwargs and rest[-1].args:
            # Its default is its own.
            rest.pop()
        return (*self.args, *(self._value_of(node) for node in rest))

    def _value_of(self, placeholder: fx.Node) -> Any:
        if placeholder.target in self.kwargs or not placeholder.args:
            return self.kwargs[str(placeholder.target)]
        return placeholder.args[0]


def _doubled(tensor: Tensor, axes: Iterable[tuple[int, str]]) -> Tensor:
    for axis, _ in axes:
        tensor = torch.cat([tensor, tensor], axis)
    return tensor


@dataclass(frozen=True, kw_only=True)
class Batches:
    """What a case is run on: the batch whose outputs are compared, and those that come after it only to calibrate.

    Where `calibrates` is false, not even the first runs before the program is converted.
    """

    first: Inputs
    more: tuple[Inputs, ...] = ()
    calibrates: bool = True

    @property
    def calibrating(self) -> tuple[Inputs, ...]:
        """The batches that run before the program is converted, in their order."""
        return (self.first, *self.more) if self.calibrates else ()

    def map(self, change: Callable[[Tensor], Tensor]) -> Batches:
        """The same batches with other tensors in them."""
        return Batches(
            first=self.first.map(change),
            more=tuple(batch.map(change) for batch in self.more),
            calibrates=self.calibrates,
        )
