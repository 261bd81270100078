"""Makes the table of decompositions cheaper to fill, as every lowering does anew.

`_collect_all_valid_cia_ops` in torch/_export/utils.py goes through the namespaces of ops, 43
with ExecuTorch and ONNX, and for each has the dispatcher name all of its 838 composite ops and
looks every one of them up: 225 ms, of which one time in 43 is of use (torch 2.15). And each
kernel that is put in the place of such an op asks `collections.abc.Callable` for a type that
nobody reads, in an annotation of `OperatorBase.py_impl`; `typing.Callable` caches its types, and
`isinstance` answers alike for both.
"""

from __future__ import annotations

import contextlib
import functools
import typing
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final

import torch._ops

from qatrix.pipelines import torchenv

_WALK: Final = "_collect_all_valid_cia_ops"
_LOOK_UP: Final = "_materialize_cpp_cia_ops"
_CALLABLE: Final = "Callable"
# Whether the walk that is under way has looked all ops up; None outside of one.
_LOOKED_UP: Final[ContextVar[list[bool] | None]] = ContextVar("_LOOKED_UP", default=None)


@contextlib.contextmanager
def quick_decompositions() -> Iterator[None]:
    """Inside the block, ops are looked up once a walk, and annotations' types are cached; it has no other effect."""
    with contextlib.ExitStack() as stack:
        utils, *others = torchenv.decomposers()
        walk, look_up = getattr(utils, _WALK, None), getattr(utils, _LOOK_UP, None)
        if walk is not None and look_up is not None:
            walked = as_one_walk(walk)
            _replace(stack, utils, _LOOK_UP, once_a_walk(look_up))
            for module in (utils, *others):
                if getattr(module, _WALK, None) is walk:
                    _replace(stack, module, _WALK, walked)
        if hasattr(torch._ops, _CALLABLE):
            _replace(stack, torch._ops, _CALLABLE, typing.Callable)
        yield


def as_one_walk(walk: Callable[[], Any]) -> Callable[[], Any]:
    """The walk through all namespaces, in which ops are looked up once."""

    @functools.wraps(walk)
    def walked() -> Any:
        token = _LOOKED_UP.set([])
        try:
            return walk()
        finally:
            _LOOKED_UP.reset(token)

    return walked


def once_a_walk(look_up: Callable[[], None]) -> Callable[[], None]:
    """Looks all ops up where that was not done in the same walk; none can be registered meanwhile."""

    @functools.wraps(look_up)
    def looked_up() -> None:
        done = _LOOKED_UP.get()
        if done:
            return
        look_up()
        if done is not None:
            done.append(True)

    return looked_up


def _replace(stack: contextlib.ExitStack, module: Any, name: str, value: Any) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)
