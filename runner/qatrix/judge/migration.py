"""What changes for who moves from one pipeline on its runtime to another on its own, in one sentence."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from qatrix.diagnoses import Cause
from qatrix.judge.wording import verdicts as words
from qatrix.lowerings import Lowering
from qatrix.outcomes import LOWERED, Comparison, PipelineOutcome
from qatrix.text import steps


def migration(before: PipelineOutcome, after: PipelineOutcome, comparisons: Sequence[Comparison]) -> str | None:
    """For instance "after moving from fx on native (engine qnnpack) to pt2e on executorch: SQNR +34.0 dB, …".

    None where either has not run in a runtime, or their outputs were not compared. The causes are those of either
    side: defects, or else what explains a departure.
    """
    if before.lowering is None or after.lowering is None:
        return None
    apart = _between(before.lowering.side(before.pipeline), after.lowering.side(after.pipeline), comparisons)
    if apart is None:
        return None
    figures = [*_quality(before.lowering.sqnr_db, after.lowering.sqnr_db), _outputs(apart)]
    told = words.MOVING(
        before=before.lowering.deployed(before.pipeline),
        after=after.lowering.deployed(after.pipeline),
        figures=", ".join(figures),
    )
    return "; ".join([told, *_causes((before.lowering, after.lowering))])


def _between(one: str, other: str, comparisons: Iterable[Comparison]) -> Comparison | None:
    sides = {one, other}
    return next((item for item in comparisons if item.at == LOWERED and {item.left, item.right} == sides), None)


def _quality(before: float | None, after: float | None) -> Iterator[str]:
    """What is gained in decibels; of two that are no finite numbers, what each is."""
    if before is None or after is None:
        return
    if math.isfinite(after - before):
        # Not "-0.0": what is not seen in one digit is no change.
        gained = round(after - before, 1)
        yield words.GAINED(gained=gained) if gained else words.AS_CLOSE()
    elif before != after and not math.isnan(after - before):
        yield words.SQNR_BECOMES(before=_decibels(before), after=_decibels(after))


def _decibels(value: float) -> str:
    return f"{value:.1f} dB" if math.isfinite(value) else f"{'' if value > 0 else '-'}∞ dB"


def _outputs(apart: Comparison) -> str:
    if apart.status == "exact":
        return words.OUTPUTS_EXACT()
    if apart.status == "mismatched" or apart.max_abs is None:
        if not apart.message:
            return words.OUTPUTS_OF_ANOTHER_KIND()
        return words.OUTPUTS_NOT_COMPARABLE(message=apart.message)
    if apart.max_steps is None:
        return words.OUTPUTS_DIFFER(distance=f"{apart.max_abs:.3g}")
    return words.OUTPUTS_DIFFER(distance=steps(f"{apart.max_steps:.3g}"))


def _causes(lowerings: Iterable[Lowering]) -> Sequence[str]:
    """Each cause's sentence once: defects, or else the first one that is known by name."""
    known = [cause for lowering in lowerings for cause in lowering.causes if cause.kind != "unexplained"]
    told: Sequence[Cause] = [cause for cause in known if cause.kind == "defect"] or known[:1]
    return list(dict.fromkeys(cause.sentence.rstrip(".") for cause in told))
