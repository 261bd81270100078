"""Where cases run: one after the other, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import torch

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.outcomes import Record
from qatrix.pipelines.pattern_cache import pattern_cache as memoised_patterns
from qatrix.pipelines.torchenv import THREADS


def execute(cases: Sequence[Case], *, pattern_cache: bool, on_start: Callable[[Case], None]) -> Iterator[Record]:
    """The cases' records in order; `on_start` is called before a case runs."""
    torch.set_num_threads(THREADS)
    with ExitStack() as stack:
        if pattern_cache:
            stack.enter_context(memoised_patterns())
        for case in cases:
            on_start(case)
            yield run_case(case)
