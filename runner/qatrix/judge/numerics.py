"""Outputs against outputs: structure first, then values, to the bit and within tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qatrix.claims import Tolerance
from qatrix.outcomes import Comparison


def compare(
    left: object,
    right: object,
    *,
    at: str,
    names: tuple[str, str],
    tolerance: Tolerance,
    steps: Sequence[float | None] = (),
) -> Comparison:
    """Two outputs (tensors, or nested tuples, lists and dicts of them) at one point.

    `steps` holds the quantization step of each tensor in order, None where it has none.
    Close is |left - right| <= atol + rtol * |right|, as in torch.testing.assert_close,
    computed in float64; exact is equal to the bit, NaN equal to NaN.
    """
    named = {"at": at, "left": names[0], "right": names[1], "rtol": tolerance.rtol, "atol": tolerance.atol}
    pairs, message = _pairs(left, right, names)
    if message is not None:
        return Comparison(status="mismatched", message=message, **named)  # type: ignore[arg-type]  # one literal dict of str and float
    gaps = [_gap(path, one, other, tolerance) for path, one, other in pairs]
    worst = max(gaps, key=lambda gap: _rank(gap.max_abs), default=None)
    mismatched = sum(gap.mismatched for gap in gaps)
    exact = all(gap.exact for gap in gaps)
    return Comparison(
        status="exact" if exact else "diverged" if mismatched else "close",
        message=next((gap.message for gap in gaps if gap.message), None),
        max_abs=worst.max_abs if worst else 0.0,
        max_rel=max((gap.max_rel for gap in gaps), key=_rank, default=0.0),
        max_abs_at=worst.place if worst and not exact else None,
        mismatched=mismatched,
        total=sum(gap.total for gap in gaps),
        max_steps=_in_steps(gaps, steps),
        **named,  # type: ignore[arg-type]  # one literal dict of str and float
    )


def sqnr_db(reference: object, output: object) -> tuple[float | None, str | None]:
    """Signal to quantization noise in decibels, 20 log10(|reference| / |reference - output|), and a note.

    The norms run over all tensors together, in float64; the formula is that of
    torch.ao.ns.fx.utils.compute_sqnr. None with a note where it says nothing: no noise, no
    signal, another structure, or values that are not finite.
    """
    pairs, message = _pairs(reference, output, ("the float model", "the quantized model"))
    if message is not None:
        return None, f"no SQNR: {message}"
    signal = math.sqrt(sum(float(_float64(one).square().sum()) for _, one, _ in pairs))
    noise = math.sqrt(sum(float((_float64(one) - _float64(other)).square().sum()) for _, one, other in pairs))
    if not math.isfinite(signal + noise):
        return None, "no SQNR: the outputs hold values that are not finite"
    if noise == 0:
        return None, "no SQNR: the output equals the float model's, there is no quantization noise"
    if signal == 0:
        return None, "no SQNR: the float model's output is zero"
    return 20 * math.log10(signal / noise), None


@dataclass(frozen=True)
class _Gap:
    """How far one pair of tensors is apart."""

    exact: bool
    max_abs: float
    max_rel: float
    place: str
    mismatched: int
    total: int
    message: str | None


_Pair = tuple[str, Tensor, Tensor]


def _pairs(left: object, right: object, names: tuple[str, str]) -> tuple[list[_Pair], str | None]:
    """The tensors of two outputs by path; or why they cannot be paired."""
    left_leaves, left_spec = pytree.tree_flatten_with_path(left)
    right_leaves, right_spec = pytree.tree_flatten_with_path(right)
    if left_spec != right_spec:
        return [], f"the structures differ: {names[0]} gives {_shape_of(left)}, {names[1]} {_shape_of(right)}"
    pairs = []
    for (path, one), (_, other) in zip(left_leaves, right_leaves):
        where = pytree.keystr(path)
        if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
            if one != other:
                return [], f"at {where or 'the output'}: {names[0]} gives {one!r}, {names[1]} {other!r}"
            continue
        if one.shape != other.shape or one.dtype != other.dtype:
            return [], f"at {where or 'the output'}: {names[0]} gives {_kind(one)}, {names[1]} {_kind(other)}"
        pairs.append((where, _plain(one), _plain(other)))
    return pairs, None


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _gap(path: str, left: Tensor, right: Tensor, tolerance: Tolerance) -> _Gap:
    if not left.numel():
        return _Gap(exact=True, max_abs=0.0, max_rel=0.0, place=path, mismatched=0, total=0, message=None)
    one, other = _float64(left), _float64(right)
    same = (left == right) | (left.isnan() & right.isnan())
    difference = torch.where(same, torch.zeros_like(one), (one - other).abs())
    relative = torch.where(same, torch.zeros_like(one), difference / other.abs())
    # "not within" rather than "beyond", so that a NaN on one side counts.
    outside = ~same & ~(difference <= tolerance.atol + tolerance.rtol * other.abs())
    index = int(torch.argmax(torch.nan_to_num(difference, nan=math.inf)))
    place = [int(part) for part in torch.unravel_index(torch.tensor(index), left.shape)]
    return _Gap(
        exact=bool(same.all()),
        max_abs=float(difference.flatten()[index]),
        max_rel=float(relative.flatten()[int(torch.argmax(torch.nan_to_num(relative, nan=math.inf)))]),
        place=f"{path}{place}",
        mismatched=int(outside.sum()),
        total=left.numel(),
        message=_non_finite(left, right, path),
    )


def _non_finite(left: Tensor, right: Tensor, path: str) -> str | None:
    """A word on NaNs and infinities that stand on one side only."""
    if torch.equal(left.isnan(), right.isnan()) and torch.equal(left.isinf(), right.isinf()):
        return None
    return f"at {path or 'the output'}: values that are not finite stand at different places"


def _in_steps(gaps: Sequence[_Gap], steps: Sequence[float | None]) -> float | None:
    found = [gap.max_abs / step for gap, step in zip(gaps, steps) if step]
    return max(found, key=_rank, default=None)


def _rank(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _float64(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().to(torch.float64)


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} of shape {list(tensor.shape)}"


def _shape_of(value: Any) -> str:
    """A structure in words: `(tensor, {'a': tensor})`."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shape_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(_shape_of, value))
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    return "tensor" if isinstance(value, Tensor) else repr(value)
