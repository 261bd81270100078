"""How a recogniser hands back what it has found."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from qatrix import text
from qatrix.diagnoses import Cause, Class
from qatrix.judge.lowering.facts import DepartureFacts
from qatrix.judge.wording import runtimes as words


def found(facts: DepartureFacts, name: str, kind: Class, sentence: str, evidence: Iterable[str]) -> Cause:
    """A cause of the departure, with its evidence."""
    return Cause(
        name=name,
        kind=kind,
        sentence=sentence,
        pipeline=facts.pipeline,
        layer=facts.departure.layer,
        evidence=tuple(evidence),
        explains_first=True,
    )


def counted(chosen: Tensor) -> str:
    """For instance "12 of 96 values"."""
    return words.VALUES(count=int(chosen.sum()), values=text.counted(chosen.numel(), "value"))
