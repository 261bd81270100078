"""Leaves out the guards of programs that are exported, which torch would make and throw away.

Dynamo makes the guards of what it traced for an export only to hear whether the constraints of
free dimensions are broken: `_suggest_or_raise_constraint_violation` in
torch/_dynamo/functional_export.py drops what `build_guards` returns. Where no dimension is free
there is nothing to break, and for nothing the size of every input and parameter is written as
Python, parsed and compiled: a tenth of the default selection's time (torch 2.15).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

from qatrix.pipelines import torchenv

Check = Callable[..., None]

_CHECK: Final = "_suggest_or_raise_constraint_violation"


@contextlib.contextmanager
def no_static_guards() -> Iterator[None]:
    """Inside the block, exports of static shapes make no guards; of no effect where a release exports otherwise."""
    module = torchenv.export_tracer()
    check = getattr(module, _CHECK, None)
    if check is None:
        yield
        return
    setattr(module, _CHECK, of_free_dimensions(check))
    try:
        yield
    finally:
        setattr(module, _CHECK, check)


def of_free_dimensions(check: Check) -> Check:
    """The check of constraints, left out where none were asked for and no size is a symbol."""
    signature = inspect.signature(check)

    @functools.wraps(check)
    def checked(*given: Any, **named: Any) -> None:
        told = signature.bind(*given, **named).arguments
        static = told.get("dynamic_shapes", ...) is None and not _symbols(told.get("fake_mode"))
        if not static:
            check(*given, **named)

    return checked


def _symbols(fake_mode: Any) -> bool:
    """Whether tracing left a size open, as ops do whose results' sizes depend on data."""
    sizes = getattr(fake_mode, "shape_env", None)
    return sizes is not None and bool(sizes.var_to_range)
