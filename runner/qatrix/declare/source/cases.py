"""A case as source."""

from __future__ import annotations

import re
from typing import Final

from qatrix.declare.source.inputs import input_source
from qatrix.declare.source.models import is_one_tensor, model_source
from qatrix.declare.source.names import Names
from qatrix.declare.source.quantizers import phase_sources, why_inexpressible
from qatrix.declare.source.runtimes import runtime_sources
from qatrix.declare.spec import Case, Training
from qatrix.scripts import CaseSource, PhaseSource, TrainingSource

_CAPITALIZED: Final = re.compile(r"\b[A-Z]\w*")


def case_source(case: Case, *, taken: frozenset[str]) -> CaseSource:
    """The case as source. Raises what evaluating its sizes raises, as building its model does.

    `taken` are the names that the rest of the script uses; declared names that are the same
    are changed.
    """
    names = Names(taken)
    phases = phase_sources(case, names=names)
    model = model_source(case, names.beside(_capitalized(phases)))
    reasons = {name: why_inexpressible(case.quantizer, name) for name in case.pipelines}
    return CaseSource(
        case_id=case.case_id,
        seed=case.seed,
        device=case.device.torch,
        classes=model.classes,
        model=model.model,
        module=model.module,
        needs=model.needs,
        weights=model.weights,
        inputs=input_source(case),
        one_tensor=is_one_tensor(case.pattern),
        pipelines=tuple(name for name, reason in reasons.items() if reason is None),
        inexpressible={name: reason for name, reason in reasons.items() if reason is not None},
        phases=phases,
        compare=case.compare,
        tolerance=case.tolerance,
        converts_in_training=case.convert_in == "train",
        training=_training(case.training),
        reexports=any(check.at == "reexport" for check in case.checks),
        strict=case.capture == "strict",
        lifecycle=case.lifecycle,
        runtimes=runtime_sources(case),
    )


def _capitalized(phases: tuple[PhaseSource, ...]) -> set[str]:
    """All that could be the name of a class or a constant in what defines and makes quantizers."""
    sources = (source for phase in phases for source in phase.quantizers.values())
    return {
        word
        for source in sources
        for text in (source.definitions, *source.lines)
        for word in _CAPITALIZED.findall(text)
    }


def _training(training: Training | None) -> TrainingSource | None:
    if training is None:
        return None
    return TrainingSource(
        steps=training.steps,
        observers_off=training.observers == "disabled",
        batch_norms_off=training.batch_norms == "frozen",
    )
