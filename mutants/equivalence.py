"""Proof that a fault changes nothing, by what the programs give, to the bit."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from mutants.planting import Kept
from qatrix.execute.passes import forward
from qatrix.pipelines.inputs import Inputs

# How large the other inputs are, from what hardly leaves zero to what clamps every range.
SIZES: Final = (1e-3, 0.1, 1.0, 3.0, 30.0, 1e4)


def proof(before: Mapping[str, Kept], after: Mapping[str, Kept], inputs: Inputs, *, whole: bool) -> str | None:
    """Why two sets of programs are the same, None where they are not.

    `whole` is for faults that were planted before calibration or training: then the prepared programs, with
    all that they have observed and learned, must be the same as well.
    """
    try:
        same = all(_same(before[name], after[name], inputs, whole=whole) for name in before)
    except Exception:  # noqa: BLE001 - what cannot run proves nothing
        return None
    if not same:
        return None
    prepared = ", and so do the prepared ones, whose state is equal" if whole else ""
    return f"the converted programs give equal bits for {len(SIZES) + 1} inputs{prepared}"


def _same(before: Kept, after: Kept, inputs: Inputs, *, whole: bool) -> bool:
    given = [inputs, *others(inputs)]
    if whole and not _are_same(before.prepared, after.prepared, given, strict=True):
        return False
    return _are_same(before.converted, after.converted, given, strict=False)


def _are_same(
    before: fx.GraphModule | None, after: fx.GraphModule | None, given: list[Inputs], *, strict: bool
) -> bool:
    if before is None or after is None:
        return False
    if strict and not _equal(_state(before), _state(after)):
        return False
    return all(_equal(_run(before, inputs), _run(after, inputs)) for inputs in given)


def _run(program: nn.Module, inputs: Inputs) -> object:
    """The outputs of two calls in a row, and what of its state they change; the program stays as it is."""
    running = copy.deepcopy(program)
    held = _state(running)
    with torch.no_grad():
        outputs = [forward(running, inputs), forward(running, inputs, seed=7)]
    changed = {name: value for name, value in _state(running).items() if not _equal(value, held[name])}
    return outputs, changed


def _state(program: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers of a program."""
    named = (*program.named_parameters(), *program.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def _equal(left: object, right: object) -> bool:
    """Whether two values have equal structure and equal bits; one NaN is like another where its bits are."""
    leaves, spec = pytree.tree_flatten(left)
    others_leaves, other_spec = pytree.tree_flatten(right)
    return spec == other_spec and all(_equal_leaves(*pair) for pair in zip(leaves, others_leaves))


def _equal_leaves(left: object, right: object) -> bool:
    if not isinstance(left, Tensor) or not isinstance(right, Tensor):
        return type(left) is type(right) and left == right
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return left.numel() == 0 or torch.equal(_bits(left), _bits(right))


def _bits(value: Tensor) -> Tensor:
    return value.detach().contiguous().view(-1).view(torch.uint8)


def others(inputs: Inputs) -> Iterator[Inputs]:
    """Other inputs of the same shapes: drawn anew, of several sizes; integers from the same range."""
    for number, size in enumerate(SIZES):
        generator = torch.Generator().manual_seed(number + 1)
        yield inputs.map(functools.partial(_other, size=size, generator=generator))


def _other(tensor: Tensor, size: float, generator: torch.Generator) -> Tensor:
    if tensor.is_floating_point():
        return (torch.randn(tensor.shape, generator=generator) * size).to(tensor.dtype)
    lowest, highest = int(tensor.min()), int(tensor.max())
    return torch.randint(lowest, highest + 1, tensor.shape, generator=generator).to(tensor.dtype)
