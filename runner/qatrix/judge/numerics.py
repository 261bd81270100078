"""Outputs against outputs: structure first, then values, to the bit and within tolerance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from qatrix.claims import Tolerance
from qatrix.judge.outputs import plain
from qatrix.outcomes import Comparison
from qatrix.text import name_of, words_of

# Of these dtypes equal bits are equal values, and can be looked at as bytes.
_COMPARABLE: Final = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.int64, torch.bool)
# Integers nearer than this can be subtracted as int64; float64 holds only those up to 2**53 one by one.
_SUBTRACTABLE: Final = 2.0**62
# Samples that are the same may differ by this many units in the last place, since sums are not always in one order.
_ROUNDINGS: Final = 4


def compare(
    left: object,
    right: object,
    *,
    at: str,
    names: tuple[str, str],
    tolerance: Tolerance,
    steps: Sequence[float | None] = (),
    allowances: Sequence[float | None] = (),
) -> Comparison:
    """Two outputs (tensors, or nested tuples, lists and dicts of them) at one point.

    `steps` holds the quantization step of each leaf in order, None where it has none, and `allowances` what is
    added to `atol` for it; the comparison tells the greatest.
    Close is |left - right| <= atol + rtol * |right|, as in torch.testing.assert_close,
    computed in float64; integers and booleans have no tolerance. Exact is equal to the bit,
    signs of zeros included, NaN equal to NaN.
    """
    named: dict[str, Any] = {
        "at": at,
        "left": names[0],
        "right": names[1],
        "rtol": tolerance.rtol,
        "atol": tolerance.atol + max((item for item in allowances if item is not None), default=0.0),
    }
    try:
        pairs, message = _pairs(left, right, names)
        if message is not None:
            return Comparison(status="mismatched", message=message, **named)
        gaps = [_gap(pair, _widened(tolerance, allowances, pair.leaf), names) for pair in pairs]
    except Exception as error:  # noqa: BLE001 - an output of whatever kind must not end the case
        return Comparison(status="mismatched", message=f"they cannot be compared: {_told(error)}", **named)
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
        tolerance_used=max((gap.used for gap in gaps), key=_rank, default=0.0),
        **named,
    )


def apart_in_two_runs(first: object, second: object, *, at: str) -> str | None:
    """How two outputs of one program for one input differ; None if they do not, or if nobody can tell.

    Outputs that cannot be compared with themselves, such as complex numbers, say nothing about a second run.
    """
    names, exact = ("first", "second"), Tolerance(name="exact", rtol=0, atol=0)
    own, found = (compare(first, other, at=at, names=names, tolerance=exact) for other in (first, second))
    if found.status == "exact" or own.status != "exact":
        return None
    return found.message or f"they are {found.max_abs:.3g} apart"


def _widened(tolerance: Tolerance, allowances: Sequence[float | None], leaf: int) -> Tolerance:
    more = allowances[leaf] if leaf < len(allowances) else None
    return tolerance if more is None else replace(tolerance, atol=tolerance.atol + more)


def sqnr_db(reference: object, output: object) -> tuple[float | None, str | None]:
    """Signal to quantization noise in decibels, 20 log10(|reference| / |reference - output|), and a note.

    The norms run over all tensors together, in float64; the formula is that of
    torch.ao.ns.fx.utils.compute_sqnr. None with a note where it says nothing: no noise, no
    signal, another structure, or values that are not finite.
    """
    try:
        pairs, message = _pairs(reference, output, ("the float model", "the quantized model"))
        signal = _norm([_float64(pair.left) for pair in pairs])
        noise = _norm([_float64(pair.left) - _float64(pair.right) for pair in pairs])
    except Exception as error:  # noqa: BLE001 - an output of whatever kind must not end the case
        return None, f"no SQNR: the outputs cannot be compared: {_told(error)}"
    if message is not None:
        return None, f"no SQNR: {message}"
    if not math.isfinite(signal + noise):
        return None, "no SQNR: the outputs hold values that are not finite"
    if noise == 0:
        return None, "no SQNR: the output equals the float model's, there is no quantization noise"
    if signal == 0:
        return None, "no SQNR: the float model's output is zero"
    return 20 * math.log10(signal / noise), None


def variation_db(reference: object, output: object) -> float | None:
    """Signal to noise in decibels of what varies along the first axis, which is that of the batch.

    The norm of the noise against that of the reference without its means: an output that is the
    same for every sample has at most 0 dB here, whatever its SQNR. The norms run over all tensors
    with at least two samples together, in float64. None where it says nothing, as in `sqnr_db`,
    and where the samples differ by no more than the rounding of the reference's own dtype.
    """
    try:
        pairs, message = _pairs(reference, output, ("the float model", "the quantized model"))
        batches = [pair for pair in pairs if pair.left.ndim and len(pair.left) > 1]
        signal = _norm([_varying(pair.left) for pair in batches])
        noise = _norm([_float64(pair.left) - _float64(pair.right) for pair in batches])
    except Exception:  # noqa: BLE001 - sqnr_db says why
        return None
    if message is not None or not math.isfinite(signal + noise) or signal == 0 or noise == 0:
        return None
    return 20 * math.log10(signal / noise)


def _varying(tensor: Tensor) -> Tensor:
    """A tensor without its means over the samples, in float64; 0 where it varies by rounding alone."""
    values = _float64(tensor)
    # From the first sample on, since the mean of equal numbers is not always one of them.
    apart = values - values[:1]
    varying = apart - apart.mean(dim=0)
    if not tensor.is_floating_point():
        return varying
    return varying.masked_fill(apart.abs().amax(dim=0) <= _ROUNDINGS * torch.finfo(tensor.dtype).eps * values.abs(), 0)


def not_finite(outputs: object) -> int:
    """How many of all values in the outputs' floating tensors are NaN or infinite."""
    tensors = (
        leaf for leaf in pytree.tree_leaves(plain(outputs)) if isinstance(leaf, Tensor) and leaf.is_floating_point()
    )
    return sum(int((~tensor.isfinite()).sum()) for tensor in tensors)


def proves_nothing(outputs: object) -> str | None:
    """Why equal outputs would prove nothing, None where they prove something.

    Something is proved where any tensor has two finite values that differ, or is one finite value.
    """
    tensors = [_float64(_plain(leaf)).flatten() for leaf in pytree.tree_leaves(plain(outputs)) if _has_numbers(leaf)]
    finite = [tensor[tensor.isfinite()] for tensor in tensors]
    if any(
        tensor.numel() == 1 or float(part.max()) != float(part.min())
        for tensor, part in zip(tensors, finite)
        if part.numel()
    ):
        return None
    total = sum(tensor.numel() for tensor in tensors)
    if not total:
        return "there are no values"
    values = [f"{value:g}" for value in sorted({float(part[0]) for part in finite if part.numel()})]
    odd = ["NaN or infinite"] if sum(part.numel() for part in finite) < total else []
    return f"all {total} values are {' or '.join([*values, *odd])}"


def _has_numbers(leaf: object) -> bool:
    return isinstance(leaf, Tensor) and _unsupported(leaf) is None


@dataclass(frozen=True)
class _Pair:
    """Two tensors that stand at the same place; `leaf` counts every leaf of the output, other values too."""

    leaf: int
    path: str
    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class _Gap:
    """How far one pair of tensors is apart."""

    leaf: int
    exact: bool
    max_abs: float
    max_rel: float
    place: str
    mismatched: int
    total: int
    used: float
    message: str | None


def _pairs(left: object, right: object, names: tuple[str, str]) -> tuple[list[_Pair], str | None]:
    """The tensors of two outputs; or no tensors, and why they cannot be paired."""
    left, right = plain(left), plain(right)
    left_leaves, left_spec = pytree.tree_flatten_with_path(left)
    right_leaves, right_spec = pytree.tree_flatten_with_path(_ordered_as(left, right))
    if left_spec != right_spec:
        return [], _unlike_structures(left, right, names)
    pairs = []
    for leaf, ((path, one), (_, other)) in enumerate(zip(left_leaves, right_leaves)):
        where = pytree.keystr(path)
        fault = _unlike(one, other, names) or _unsupported(one)
        if fault is not None:
            return [], f"at {where or 'the output'}: {fault}"
        if isinstance(one, Tensor):
            pairs.append(_Pair(leaf, where, _plain(one), _plain(other)))
    return pairs, None


def _unlike_structures(left: object, right: object, names: tuple[str, str]) -> str:
    """How two structures differ; of dicts, the keys that only one has."""
    if type(left) is dict and type(right) is dict and left.keys() != right.keys():
        sides = zip(names, (left.keys() - right.keys(), right.keys() - left.keys()))
        return "; ".join(f"only {name} has {', '.join(sorted(map(str, keys)))}" for name, keys in sides if keys)
    return f"the structures differ: {names[0]} gives {_shape_of(left)}, {names[1]} {_shape_of(right)}"


def _ordered_as(left: object, right: object) -> object:
    """`right` with the keys of its dicts in the order in which `left` has them: order is no difference."""
    if type(left) is dict and type(right) is dict and left.keys() == right.keys():
        return {key: _ordered_as(left[key], right[key]) for key in left}
    if type(left) is type(right) is tuple and len(left) == len(right):
        return tuple(map(_ordered_as, left, right))
    if type(left) is type(right) is list and len(left) == len(right):
        return list(map(_ordered_as, left, right))
    return right


def _unlike(one: Any, other: Any, names: tuple[str, str]) -> str | None:
    """How two leaves differ in kind, or other values than tensors at all; None where they do not."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = (one.shape, one.dtype, one.layout) == (other.shape, other.dtype, other.layout)
    else:
        same = type(one) is type(other) and (one is other or one == other or (one != one and other != other))  # noqa: PLR0124 - NaN
    return None if same else f"{names[0]} gives {_kind(one)}, {names[1]} {_kind(other)}"


def _unsupported(leaf: object) -> str | None:
    """Why a tensor's values cannot be compared, None where they can."""
    if not isinstance(leaf, Tensor):
        return None
    if leaf.is_complex():
        return f"complex numbers are not compared, as in {_kind(leaf)}"
    if leaf.layout != torch.strided:
        return f"only dense tensors are compared, not {_kind(leaf)}"
    return f"{_kind(leaf)} is on the device meta and has no values" if leaf.is_meta else None


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor.detach().cpu()
    return tensor.dequantize() if tensor.is_quantized else tensor


def _gap(pair: _Pair, tolerance: Tolerance, names: tuple[str, str]) -> _Gap:
    left, right = pair.left, pair.right
    if not left.numel() or _same_bits(left, right):
        place, total = (_place(pair, 0), left.numel()) if left.numel() else ("", 0)
        return _Gap(
            pair.leaf,
            exact=True,
            max_abs=0.0,
            max_rel=0.0,
            place=place,
            mismatched=0,
            total=total,
            used=0.0,
            message=None,
        )
    one, other = _float64(left), _float64(right)
    same = (left == right) | (one.isnan() & other.isnan())
    difference = _difference(left, right).masked_fill(same, 0.0)
    relative = (difference / other.abs()).masked_fill(same, 0.0)
    outside = ~same
    used = torch.where(same, 0.0, math.inf)
    if left.dtype.is_floating_point:
        # "not within" rather than "beyond", so that a NaN counts; and infinity is within no tolerance,
        # though inf <= atol + rtol * inf.
        within = (difference <= tolerance.atol + tolerance.rtol * other.abs()) & difference.isfinite()
        outside = ~same & ~within
        factors = difference / (tolerance.atol + tolerance.rtol * other.abs())
        # An infinite difference over an infinite tolerance is NaN, and no tolerance is enough for it.
        used = torch.where(difference.isfinite(), factors, math.inf).masked_fill(same, 0.0)
    exact = bool((same & ((one.signbit() == other.signbit()) | one.isnan())).all())
    worst = _greatest(difference)
    return _Gap(
        leaf=pair.leaf,
        exact=exact,
        max_abs=float(difference.flatten()[worst]),
        max_rel=float(relative.flatten()[_greatest(relative)]),
        place=_place(pair, worst),
        mismatched=int(outside.sum()),
        total=left.numel(),
        used=float(used.max()),
        message=_not_finite(pair, same, names) or _signed_zeros(pair, exact=exact, same=same),
    )


def _same_bits(left: Tensor, right: Tensor) -> bool:
    """Whether nothing differs, as in most cases: then nothing is worked out. False for what may not be comparable."""
    if left.dtype not in _COMPARABLE:
        return False
    one, other = (tensor.contiguous().flatten().view(torch.uint8) for tensor in (left, right))
    return torch.equal(one, other)


def _difference(left: Tensor, right: Tensor) -> Tensor:
    """|left - right| in float64, of integers without the rounding of float64."""
    rounded = (_float64(left) - _float64(right)).abs()
    if left.dtype.is_floating_point:
        return rounded
    return torch.where(rounded < _SUBTRACTABLE, _float64((left.long() - right.long()).abs()), rounded)


def _not_finite(pair: _Pair, same: Tensor, names: tuple[str, str]) -> str | None:
    """The first place where a NaN or an infinity of one side is something else on the other."""
    odd = ~same & ~(_float64(pair.left).isfinite() & _float64(pair.right).isfinite())
    if not odd.any():
        return None
    first, count = int(odd.flatten().int().argmax()), int(odd.sum())
    one, other = float(pair.left.flatten()[first]), float(pair.right.flatten()[first])
    more = f", and at {count - 1} more" if count > 1 else ""
    return f"at {_place(pair, first)}{more}: {names[0]} gives {one:g}, {names[1]} {other:g}"


def _signed_zeros(pair: _Pair, *, exact: bool, same: Tensor) -> str | None:
    if exact or not same.all():
        return None
    return f"at {pair.path or 'the output'}: equal, but zeros differ in their sign"


def _greatest(values: Tensor) -> int:
    """The place of the greatest value in the flattened tensor; NaN is greater than any."""
    return int(torch.argmax(torch.nan_to_num(values, nan=math.inf)))


def _place(pair: _Pair, index: int) -> str:
    """An element in words: `['logits'][1, 2]`; a scalar has no index but needs some name."""
    position: list[int] = []
    for size in reversed(pair.left.shape):
        index, part = divmod(index, size)
        position.insert(0, part)
    return pair.path if pair.path and not position else f"{pair.path}{position}"


def _in_steps(gaps: Sequence[_Gap], steps: Sequence[float | None]) -> float | None:
    known = dict(enumerate(steps))
    found = [gap.max_abs / step for gap in gaps if (step := known.get(gap.leaf))]
    return max(found, key=_rank, default=None)


def _norm(tensors: Sequence[Tensor]) -> float:
    """The norm over all tensors together, scaled so that no square overflows."""
    peak = max((float(tensor.abs().max()) for tensor in tensors if tensor.numel()), key=_rank, default=0.0)
    if not math.isfinite(peak) or peak == 0:
        return peak
    return peak * math.sqrt(sum(float((tensor / peak).square().sum()) for tensor in tensors))


def _rank(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _float64(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float64)


def _kind(leaf: object) -> str:
    """A leaf in words: `float32 of shape [2]`, or the value that it is."""
    if isinstance(leaf, Tensor):
        layout = "" if leaf.layout == torch.strided else f" ({str(leaf.layout).removeprefix('torch.')})"
        return f"{str(leaf.dtype).removeprefix('torch.')} of shape {list(leaf.shape)}{layout}"
    return repr(leaf)


def _told(error: Exception) -> str:
    return f"{name_of(error).rpartition('.')[2]}: {(words_of(error).splitlines() or ['no message'])[0]}"


def _shape_of(value: Any) -> str:
    """A structure in words: `(tensor, {'a': tensor})`; a tuple with a name shows it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {_shape_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(_shape_of, value))
        name = "" if type(value) in {tuple, list} else type(value).__name__
        return f"{name}({inside})" if isinstance(value, tuple) else f"{name}[{inside}]"
    return "tensor" if isinstance(value, Tensor) else repr(value)
