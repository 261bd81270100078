"""A departure in words: the op, the runtime's kernel, how far it is off."""

from __future__ import annotations

from torch import fx

from qatrix.execute.bisecting.cuts import MOVING
from qatrix.judge.graphs.layers import fused_parts
from qatrix.judge.graphs.ops import base_name
from qatrix.judge.wording import differences as words
from qatrix.lowerings import Ran
from qatrix.text import steps as in_steps


def op_of(nodes: list[fx.Node]) -> str:
    """The ops that compute one value, as the program calls them: "conv2d, relu"."""
    names = [name for node in nodes if base_name(node) not in MOVING for name in _names(node)]
    return ", ".join(names or [name for node in nodes for name in _names(node)])


def kernel_of(ran: Ran | None, layer: str, *, alone: bool) -> str | None:
    """The runtime's names for what computes a layer; None where it does not say.

    Where an op was lowered alone, all that computes is its own. Of several, the runtime must say which is whose.
    """
    if ran is None:
        return None
    computing = [kernel for kernel in ran.kernels if kernel.arithmetic != "none"]
    found = [kernel for kernel in computing if layer in kernel.layers]
    if alone and not found:
        found = [kernel for kernel in computing if kernel.arithmetic == "integers"] or computing
    names = dict.fromkeys(kernel.name for kernel in found)
    return ", ".join(names) or None


def sentence(
    layer: str, name: str, max_abs: float, steps: float | None, *, begin: str | None, each_agrees: bool
) -> str:
    """What departs, and by how much; `begin` is the layer where the part begins that no single op stands for.

    `each_agrees` says whether each op of that part was tried by itself, and agrees.
    """
    by = f"{max_abs:.3g}" if steps is None else in_steps(f"{steps:.3g}")
    if begin is None:
        return words.OP_DIFFERS(layer=layer, op=name, amount=by)
    singly = words.EACH_OP_AGREES() if each_agrees else words.NOT_EACH_OP_TRIED()
    return words.PART_DIFFERS(layer=layer, op=name, amount=by, begin=begin, singly=singly)


def _names(node: fx.Node) -> list[str]:
    if node.op != "call_module":
        return [base_name(node)]
    whole, *parts = fused_parts(node)
    return [type(item).__name__.lower() for item in parts or [whole]]
