"""The float model's layers in float64, each on the inputs that it is given."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from qatrix.judge.arbiter.folding import Layer, layer_of
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.graphs.layers import weighted_op
from qatrix.judge.graphs.operands import operand
from qatrix.judge.graphs.ops import called_module
from qatrix.judge.graphs.randomness import draws_at_random

# What a convolution or linear layer as a function is given first.
_OPERANDS: Final = ("input", "weight", "bias")


class CannotJudgeError(Exception):
    """A layer that cannot be computed by itself; the message says why."""


@dataclass
class FloatModel:
    """A float model in float64 and its graph: `program` is traced from it, and shares its modules.

    `values` are those of the graph's nodes that hold no tensors of the model's own making: sizes,
    numbers, parameters. `moved` are the paths of the batch norms that were computed in training,
    `stale` those of which it is not known how training has moved them.
    """

    program: fx.GraphModule
    layout: Layout
    values: Mapping[str, object]
    moved: set[str] = field(default_factory=set)
    stale: frozenset[str] = frozenset()
    nodes: Mapping[str, fx.Node] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {node.name: node for node in self.program.graph.nodes}

    def module(self, key: str) -> nn.Module | None:
        """The module that a site calls, None for a function."""
        return called_module(self.nodes[key])

    def norm(self, key: str) -> _BatchNorm | None:
        """The batch norm that a site calls, where it has running statistics."""
        module = self.module(key)
        return module if isinstance(module, _BatchNorm) and module.running_mean is not None else None

    def norm_behind(self, key: str) -> str | None:
        """The batch norm with running statistics that reads a site, None where there is none."""
        return next((site.key for site in self.layout.consumers(key) if self.norm(site.key) is not None), None)

    def trains(self, key: str) -> bool:
        """Whether the module that a site calls is in training."""
        module = self.module(key)
        return module is not None and module.training

    def layer(self, key: str) -> Layer | None:
        """The weight and bias of a convolution or linear layer, by module or by function."""
        node = self.nodes[key]
        op = weighted_op(node)
        if op is None:
            return None
        module = called_module(node)
        if module is not None:
            return layer_of(module, op)
        weight, bias = (self._constant(node, place) for place in (1, 2))
        if weight is None or op == "conv_transpose":
            msg = "its weight is no parameter of a layer"
            raise CannotJudgeError(msg)
        return layer_of(_Held(weight, bias), op)

    def _constant(self, node: fx.Node, place: int) -> Tensor | None:
        given = operand(node, place)
        value = self.values.get(given.name) if isinstance(given, fx.Node) and given.op == "get_attr" else None
        return value if isinstance(value, Tensor) else None

    def draws_at_random(self, key: str) -> bool:
        """Whether a site draws at random in the float model's present mode."""
        return draws_at_random(self.nodes[key])

    def compute(
        self, key: str, known: Mapping[str, object], layer: Layer | None = None, *, single: bool = False
    ) -> object:
        """A site's value for the values of the sites that it reads, with another weight and bias if told.

        A batch norm in training moves its running statistics. In `single` precision everything is
        float32, and nothing is moved. Raises CannotJudgeError.
        """
        node = self.nodes[key]

        def value_of(source: fx.Node) -> Any:
            if source.name in known:
                return _single(known[source.name]) if single else known[source.name]
            if source.name in self.values:
                return _single(self.values[source.name]) if single else self.values[source.name]
            msg = f"{source.name} is not known"
            raise CannotJudgeError(msg)

        args, kwargs = fx.map_arg((node.args, node.kwargs), value_of)
        module = called_module(node) if node.op == "call_module" else None
        if not single and isinstance(module, _BatchNorm):
            self._note(node, module)
        if single:
            module = None if module is None else copy.deepcopy(module).float()
            layer = None if layer is None else layer.single()
        try:
            return _run(node, module, args, kwargs, layer)
        except (RuntimeError, TypeError, ValueError, NotImplementedError, IndexError) as error:
            raise CannotJudgeError(str(error)) from error

    def norm_paths(self) -> frozenset[str]:
        """The paths of all batch norms with running statistics."""
        called = (node for node in self.program.graph.nodes if node.op == "call_module")
        return frozenset(str(node.target) for node in called if self.norm(node.name) is not None)

    def demand_known(self, key: str) -> None:
        """Raise CannotJudgeError for a batch norm of which it is not known how training has moved it."""
        if str(self.nodes[key].target) in self.stale:
            msg = "how its batch norm moved in training does not show"
            raise CannotJudgeError(msg)

    def _note(self, node: fx.Node, norm: _BatchNorm) -> None:
        if norm.training:
            self.moved.add(str(node.target))
        else:
            self.demand_known(node.name)


def _run(
    node: fx.Node, module: nn.Module | None, args: tuple[Any, ...], kwargs: dict[str, Any], layer: Layer | None
) -> object:
    if module is not None:
        if layer is None:
            return module(*args, **kwargs)
        own = {"weight": layer.weight}
        if layer.bias is None:
            return functional_call(module, own, args, kwargs)
        if getattr(module, "bias", None) is None:
            return _with_bias(functional_call(module, own, args, kwargs), layer.weight, layer.bias)
        return functional_call(module, {**own, "bias": layer.bias}, args, kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if not callable(node.target):
        msg = f"{node.name} is no call"
        raise CannotJudgeError(msg)
    if layer is not None:
        # Each of the three may be given by its name.
        given = {**dict(zip(_OPERANDS, args)), **kwargs, "weight": layer.weight, "bias": layer.bias}
        args, kwargs = (*(given.pop(name) for name in _OPERANDS), *args[len(_OPERANDS) :]), given
    return node.target(*args, **kwargs)


class _Held(nn.Module):
    """The weight and bias that a function is given."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), bias


def _with_bias(output: Any, weight: Tensor, bias: Tensor) -> Tensor:
    """A layer's output with a bias that its module has no place for: a batch norm's, folded."""
    shape = [1] * output.ndim
    # Behind the channels there are as many axes as the weight has behind its two first.
    shape[output.ndim - weight.ndim + 1] = -1
    made: Tensor = output + bias.reshape(shape)
    return made


def _single(value: object) -> object:
    return pytree.tree_map(
        lambda item: item.float() if isinstance(item, Tensor) and item.is_floating_point() else item, value
    )


def in_double(value: object) -> object:
    """A value whose floating point numbers are float64, with memory of its own."""
    return pytree.tree_map(
        lambda item: (
            item.detach().to(torch.float64, copy=True)
            if isinstance(item, Tensor) and item.is_floating_point()
            else item.detach().clone()
            if isinstance(item, Tensor)
            else item
        ),
        value,
    )
