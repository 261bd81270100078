"""Cases that only wait; importable by a worker, in which as little as possible is imported for it."""

from __future__ import annotations

import time

from qatrix.declare.spec import Case
from qatrix.outcomes import Comparison, Record


def waiting(case: Case) -> Record:
    """A record of a case after a few milliseconds, with numbers that follow from its seed."""
    time.sleep(600 if case.pattern.name == "hang" else (case.seed % 20) / 1000)
    gap = Comparison(at="convert", left="pt2e", right="fx", status="close", max_abs=case.seed / 7e9, rtol=0.0, atol=1.0)
    return Record(
        case_id=case.case_id,
        suite=case.suite,
        axes=dict(case.axes),
        verdict="close",
        summary="within tolerance",
        seed=case.seed,
        seconds=0.25,
        source=case.source,
        comparisons=(gap,),
    )
