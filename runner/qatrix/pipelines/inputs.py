"""What a model is called with: its positional and its keyword arguments, in one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, fx
from torch.fx.graph import _PyTreeCodeGen
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Inputs:
    """The arguments of one call: tensors, or nested tuples, lists and dicts of them."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

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
        return Inputs(args, kwargs)

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
