"""Which layers of a program a quantizer is to quantize, and which of them it is told to leave in float."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import fx

from qatrix.judge.graphs.layers import weighted_op
from qatrix.judge.graphs.origins import parameter_owner, scope_of

OPERANDS: Final = ("weight", "input")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What one quantizer says of layers with weights.

    It quantizes the ops of these families ("conv", "conv_transpose", "linear") wherever they stand, but for those in
    modules that it leaves in float: `modules` and `types` say by a module's path whether it does, for what is inside
    of that module, too. The nearest of `modules` counts, and where there is none the nearest of `types`. `operands`
    is what of a layer it quantizes, its weight, its input or both.
    """

    ops: Collection[str]
    operands: Collection[str] = OPERANDS
    modules: Mapping[str, bool] = field(default_factory=dict)
    types: Mapping[str, bool] = field(default_factory=dict)

    def covers(self, node: fx.Node) -> bool:
        """Whether the quantizer is to quantize a layer."""
        return weighted_op(node) in self.ops and not self.leaves(node)

    def leaves(self, node: fx.Node) -> bool:
        """Whether the quantizer is told to leave a layer in float."""
        path = _path_of(node)
        found = (parts[one] for parts in (self.modules, self.types) for one in _upwards(path) if one in parts)
        return next(found, False)


def _path_of(node: fx.Node) -> str:
    """The path of the module that a layer is, or in whose forward it is called; empty where nobody says."""
    return str(node.target) if node.op == "call_module" else scope_of(node) or parameter_owner(node)


def _upwards(path: str) -> Iterator[str]:
    while path:
        yield path
        path = path.rpartition(".")[0]
