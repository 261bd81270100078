"""Which cases of the matrix that comes with qatrix are measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.resources import folder

CONV_BN: Final = "conv_bn_fusion/conv_bn/dim=2,quantizer=xnnpack_int8_per_channel_qat,device=cpu"
# The same model, quantized in another way.
TWIN: Final = "conv_bn_fusion/conv_bn/dim=2,quantizer=xnnpack_int8_per_tensor_qat,device=cpu"


def shipped(*globs: str) -> tuple[Case, ...]:
    """Cases of the matrix; all of them without globs."""
    loaded = load([folder("matrix")])
    assert loaded.matrix is not None, loaded.problems
    return select(loaded.matrix, Selection(cases=globs)).cases


def small_suites() -> tuple[str, ...]:
    """The suites of the matrix but whole models, which no cache of patterns makes much faster."""
    return tuple(dict.fromkeys(case.suite for case in shipped() if case.pattern.factory is None))


def untrained() -> tuple[Case, ...]:
    """The cases of those suites but the ones that train: each of these has a process of its own, whose start counts."""
    return tuple(case for case in shipped(*small_suites()) if case.training is None)


def sampled(cases: Sequence[Case], *, each: int) -> tuple[Case, ...]:
    """At most that many cases of every suite, evenly spread over it."""
    suites: dict[str, list[Case]] = {}
    for case in cases:
        suites.setdefault(case.suite, []).append(case)
    return tuple(case for held in suites.values() for case in _spread(held, each))


def _spread(cases: Sequence[Case], count: int) -> Sequence[Case]:
    """Every n-th case, from the middle of the first n on."""
    step = math.ceil(len(cases) / count)
    return cases[step // 2 :: step]


def as_options(cases: Sequence[Case]) -> tuple[str, ...]:
    """The options of `qatrix run` that select these cases."""
    return tuple(part for case in cases for part in ("--case", case.case_id))
