"""The batch norms of a prepared program that trains, in both forms that pipelines give them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mutants.programs import Program, with_argument
from qatrix.judge.diagnosis.exported import FusedNorm, fused_norms, is_exported
from qatrix.judge.graphs.ops import base_name, called_module, op_name

_WEIGHT: Final = 1
_TRAINING: Final = 5
_MOMENTUM: Final = 6
_EPS: Final = 7


class Norm(Protocol):
    """A batch norm, and the layer that it is fused with."""

    @property
    def layer(self) -> str:
        """The batch norm's name in the float model."""

    def tensors(self) -> dict[str, Tensor]:
        """weight, bias, running_mean and running_var, to be changed in place."""

    def weight_of_layer(self) -> Tensor | None:
        """The float weight of the layer before it, to be changed in place; None where there is none."""

    def change_eps(self, factor: float, *, also_of_scale: bool) -> None:
        """Multiply the eps, and also the one in the factor by which the weight is scaled for training."""

    def change_momentum(self, momentum: float) -> None:
        """Set the momentum."""

    def stop(self) -> None:
        """Normalize with the running statistics, which then stay."""


@dataclass(frozen=True)
class ExportedNorm:
    """An op of an exported program."""

    program: Program
    layer: str
    op: fx.Node
    fused: FusedNorm | None

    def tensors(self) -> dict[str, Tensor]:
        """What the op reads."""
        names = ("weight", "bias", "running_mean", "running_var")
        nodes = dict(zip(names, self.op.args[_WEIGHT:_TRAINING]))
        return {name: self.program.value_of(node) for name, node in nodes.items() if isinstance(node, fx.Node)}

    def weight_of_layer(self) -> Tensor | None:
        """The constant from which the weight of the fused convolution is computed."""
        node: Any = None if self.fused is None else self.fused.operand.args[1]
        while isinstance(node, fx.Node) and node.op != "get_attr":
            node = node.args[0]
        return self.program.value_of(node) if isinstance(node, fx.Node) else None

    def change_eps(self, factor: float, *, also_of_scale: bool) -> None:
        """Change the op's argument, and that of the addition before the square root."""
        nodes = [(self.op, _EPS)]
        if also_of_scale and self.fused is not None:
            nodes += [(node, 1) for node in self.fused.inner if _adds_number(node)]
        for node, place in nodes:
            eps = node.args[place]
            assert isinstance(eps, float)
            with_argument(node, place, eps * factor)
        self.program.recompile()

    def change_momentum(self, momentum: float) -> None:
        """Change the op's argument."""
        with_argument(self.op, _MOMENTUM, momentum)
        self.program.recompile()

    def stop(self) -> None:
        """Change the op's argument."""
        with_argument(self.op, _TRAINING, False)
        self.program.recompile()


def _adds_number(node: fx.Node) -> bool:
    return base_name(node) == "add" and len(node.args) > 1 and isinstance(node.args[1], float)


@dataclass(frozen=True)
class ModuleNorm:
    """A batch norm inside a fused module, or by itself."""

    layer: str
    norm: _BatchNorm
    weight: Tensor | None

    def tensors(self) -> dict[str, Tensor]:
        """The module's."""
        values = {name: getattr(self.norm, name) for name in ("weight", "bias", "running_mean", "running_var")}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def weight_of_layer(self) -> Tensor | None:
        """The fused module's."""
        return self.weight

    def change_eps(self, factor: float, *, also_of_scale: bool) -> None:
        """Change the module's, which is also the one that its weight is scaled with."""
        del also_of_scale
        self.norm.eps *= factor

    def change_momentum(self, momentum: float) -> None:
        """Change the module's."""
        self.norm.momentum = momentum

    def stop(self) -> None:
        """Put the module in evaluation."""
        self.norm.eval()


def norms(program: Program) -> Iterator[Norm]:
    """The batch norms of a prepared program that have a place of their own."""
    fused = {item.norm: item for item in fused_norms(program.module.graph)} if is_exported(program.module.graph) else {}
    for node in program.nodes:
        if node.op == "call_function" and op_name(node) == "batch_norm":
            layer = program.layer_of(node)
            if layer is not None:
                yield ExportedNorm(program, layer, node, fused.get(node))
            continue
        module = called_module(node)
        inner = module if isinstance(module, _BatchNorm) else getattr(module, "bn", None)
        if isinstance(inner, _BatchNorm):
            yield from _of_module(program, node, module, inner)


def _of_module(program: Program, node: fx.Node, module: nn.Module | None, norm: _BatchNorm) -> Iterator[Norm]:
    sites = program.layout.sites
    key = program.placement.owner.get(node.name)
    if key is None:
        return
    if module is norm:
        yield ModuleNorm(sites[key].name, norm, None)
        return
    following = next((site for site in program.layout.consumers(key) if "norm" in site.op.lower()), None)
    weight = getattr(module, "weight", None)
    if following is not None:
        yield ModuleNorm(following.name, norm, weight if isinstance(weight, torch.Tensor) else None)
