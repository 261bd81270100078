"""What a float model reads of its parameters and buffers, seen op by op as it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from qatrix.execute import isolation
from qatrix.execute.passes import FORWARD_SEED
from qatrix.judge.graphs import Held, Layer, Read
from qatrix.judge.outputs import plain
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import seed_generators

# What the ops below are called where Python sees them: compositions are taken apart before.
# The places of the weight and of the bias of a convolution or linear layer, which may have none.
_OPERANDS_AT: Final = {"convolution": (1, 2), "addmm": (2, 0), "mm": (1, None)}
# Ops that take a tensor's shape and none of its values.
_SHAPE_ALONE: Final = ("new_", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like")


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What the outputs of a float model depend on, and the names of its parameters that they do not depend on."""

    live: tuple[Read, ...] = ()
    dead: tuple[str, ...] = ()


def reads_of(model: nn.Module, inputs: Inputs) -> Reads | None:
    """What a model reads in one forward pass, after which its buffers may be others; None where it does not run so."""
    copies = inputs.copies()
    fast = torch.backends.mha.get_fastpath_enabled()
    # On its fast path an attention is one op, which no program that is captured has.
    torch.backends.mha.set_fastpath_enabled(False)
    seed_generators(FORWARD_SEED)
    try:
        reader = _Reader(model, copies)
        with torch.no_grad(), reader:
            outputs = model(*copies.args, **copies.kwargs)
        return reader.reads(outputs)
    except BaseException as error:  # noqa: BLE001 - a model may refuse to be watched, and has run before
        isolation.let_ctrl_c_through(error)
        return None
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@dataclass(frozen=True)
class _Value:
    """Where a tensor comes from: of parameters and buffers alone (`constant`), or of the inputs, by way of `reads`."""

    constant: frozenset[Held] = frozenset()
    reads: frozenset[Read] = frozenset()
    layer: Layer | None = None


class _Reader(TorchDispatchMode):
    """Follows what ops compute from inputs, parameters and buffers."""

    def __init__(self, model: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self._held = list(_held_by(model))
        self._values = WeakTensorKeyDictionary()
        for held, tensor in self._held:
            self._values[tensor] = _Value(constant=frozenset({held}))
        for tensor in inputs.tensors:
            self._values[tensor] = _Value()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an op and note what its results come from."""
        del types
        kwargs = kwargs or {}
        # Before it runs, since it may write to what it reads.
        given = [(leaf, self._values[leaf]) for leaf in _tensors((args, kwargs)) if leaf in self._values]
        outputs = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if given and not name.startswith(_SHAPE_ALONE):
            value = self._value(name, given, args)
            for leaf in _tensors(outputs):
                self._values[leaf] = value
        return outputs

    def _value(self, name: str, given: list[tuple[Tensor, _Value]], args: tuple[Any, ...]) -> _Value:
        constants = [(tensor, value) for tensor, value in given if value.constant]
        if len(constants) == len(given):
            return _Value(constant=frozenset().union(*(value.constant for _, value in constants)))
        before = [value for _, value in given if not value.constant]
        reads = frozenset().union(*(value.reads for value in before))
        if "batch_norm" in name and constants:
            # A second batch norm can be folded into the same layer.
            layer = before[0].layer
            return _Value(reads=reads | {_norm(constants, layer)}, layer=layer)
        fresh = {Read(tensors=_ordered(value.constant), size=tensor.numel()) for tensor, value in constants}
        return _Value(reads=reads | fresh, layer=self._layer(name, args))

    def _layer(self, name: str, args: tuple[Any, ...]) -> Layer | None:
        """The convolution or linear layer that an op is, where its weight comes from parameters alone."""
        if name not in _OPERANDS_AT:
            return None
        operands = (None if place is None else args[place] for place in _OPERANDS_AT[name])
        weight, bias = (
            self._values.get(item, _Value()).constant if isinstance(item, Tensor) else frozenset() for item in operands
        )
        return Layer(weight=weight, bias=next(iter(bias)) if len(bias) == 1 else None) if weight else None

    def reads(self, outputs: object) -> Reads:
        """What the outputs depend on."""
        found: dict[Read, None] = {}
        for leaf in _tensors(outputs):
            value = self._values.get(leaf, _Value())
            found |= dict.fromkeys(value.reads)
            if value.constant:
                found[Read(tensors=_ordered(value.constant), size=leaf.numel())] = None
        live = tuple(sorted(found, key=lambda read: [held.names for held in read.tensors]))
        read = {held for item in live for held in item.tensors}
        return Reads(
            live=live, dead=tuple(held.names[0] for held, _ in self._held if held.trainable and held not in read)
        )


def _norm(constants: list[tuple[Tensor, _Value]], layer: Layer | None) -> Read:
    together = frozenset().union(*(value.constant for _, value in constants))
    return Read(tensors=_ordered(together), size=constants[0][0].numel(), norm=True, layer=layer)


def _ordered(held: frozenset[Held]) -> tuple[Held, ...]:
    return tuple(sorted(held, key=lambda item: item.names))


def _held_by(model: nn.Module) -> Iterator[tuple[Held, Tensor]]:
    """Each parameter and buffer once, with all its names."""
    found: dict[int, tuple[list[str], Tensor]] = {}
    kinds: tuple[Callable[..., Any], ...] = (model.named_parameters, model.named_buffers)
    for named in kinds:
        for name, tensor in named(remove_duplicate=False):
            found.setdefault(id(tensor), ([], tensor))[0].append(name)
    for names, tensor in found.values():
        yield Held(names=tuple(names), size=tensor.numel(), trainable=isinstance(tensor, nn.Parameter)), tensor


def _tensors(value: object) -> Iterator[Tensor]:
    return (leaf for leaf in pytree.tree_leaves(plain(value)) if isinstance(leaf, Tensor))
