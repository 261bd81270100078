"""Remembers the range that a HistogramObserver chose, for which it searches in steps of 1e-5 of its histogram.

The search takes 25 to 35 ms for each observer of PTQ, and half of them are repeated:
`calculate_qparams` searches again on every call, and cases of one model ask about the same
activations (torch 2.15, torchao 0.18). Its answer depends on the observer's class, histogram,
range and numbers of bins alone (`_non_linear_param_search` and `_compute_quantization_error` in
torch/ao/quantization/observer.py and in torchao/quantization/pt2e/observer.py), so that is the
key; each package answers for itself.

Nearly all of the search is thousands of questions whether one sum of the histogram, a tensor of
its own each time, is below a share of the total. The same code with the sums as Python's numbers
takes a tenth of the time.
"""

from __future__ import annotations

import contextlib
import ctypes
import operator
import types
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, nn

from qatrix.pipelines import torchenv

Range = tuple[Tensor, Tensor]
Search = Callable[[Any], Range]

_SEARCH: Final = "_non_linear_param_search"
# A key holds a histogram of 2048 bins, 8 KB.
_KEPT: Final = 512


@contextlib.contextmanager
def histogram_memory() -> Iterator[None]:
    """Inside the block, no histogram is searched twice; the ranges are equal to the bit."""
    with contextlib.ExitStack() as stack:
        for observer in torchenv.histogram_observers():
            original = getattr(observer, _SEARCH, None)
            if original is not None:
                setattr(observer, _SEARCH, remembering(with_plain_sums(original)))
                stack.callback(setattr, observer, _SEARCH, original)
        yield


def remembering(search: Search) -> Search:
    """The search with a memory of the newest histograms; every answer is a copy of its own."""
    found: dict[Hashable, Range] = {}

    def searched(observer: nn.Module) -> Range:
        key = _key(observer)
        if key not in found:
            if len(found) >= _KEPT:
                found.pop(next(iter(found)))
            found[key] = search(observer)
        low, high = found[key]
        return low.clone(), high.clone()

    return searched


def with_plain_sums(search: Search) -> Search:
    """The search, whose `torch.cumsum` gives numbers to compare instead of a tensor.

    The code is the release's own, as it is. Where it does anything else with the sums than to
    compare one with a number, that raises, and the search runs with tensors.
    """
    if not isinstance(search, types.FunctionType):
        return search
    with_tensors: Search = search
    with_numbers: Search = types.FunctionType(
        search.__code__,
        {**search.__globals__, "torch": _TorchOfSums()},
        search.__name__,
        search.__defaults__,
        search.__closure__,
    )

    def searched(observer: nn.Module) -> Range:
        # What the search itself raises, it raises again, and not while that is handled.
        with contextlib.suppress(Exception):
            return with_numbers(observer)
        return with_tensors(observer)

    return searched


class _TorchOfSums:
    """What the search calls `torch`: all of it, but for the sums."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def cumsum(self, *args: Any, **kwargs: Any) -> Any:
        sums = torch.cumsum(*args, **kwargs)
        # Others round what they are compared with in another way.
        return _Sums(sums) if sums.dtype is torch.float32 else sums


class _Sums:
    """A tensor in float32 and of one axis, of which only single elements can be had."""

    def __init__(self, tensor: Tensor) -> None:
        self._sums = [_Sum(value) for value in tensor.tolist()]

    def __getitem__(self, place: int) -> _Sum:
        return self._sums[operator.index(place)]

    def __bool__(self) -> bool:
        raise TypeError

    def __eq__(self, other: object) -> bool:
        raise TypeError

    __hash__ = None  # type: ignore[assignment]


class _Sum:
    """An element of a tensor in float32: as torch does, it rounds a number to float32 before it compares."""

    __slots__ = ("_value",)

    def __init__(self, value: float) -> None:
        self._value = value

    def __lt__(self, number: float) -> bool:
        return self._value < ctypes.c_float(number).value

    def __gt__(self, number: float) -> bool:
        return self._value > ctypes.c_float(number).value

    def __bool__(self) -> bool:
        raise TypeError

    def __eq__(self, other: object) -> bool:
        raise TypeError

    __hash__ = None  # type: ignore[assignment]


def _key(observer: Any) -> Hashable:
    tensors = (observer.histogram, observer.min_val, observer.max_val)
    told = tuple(
        (tensor.device, tensor.dtype, tensor.shape, tensor.detach().cpu().numpy().tobytes()) for tensor in tensors
    )
    return type(observer), told, observer.bins, observer.dst_nbins
