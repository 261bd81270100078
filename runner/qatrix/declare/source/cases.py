"""A case as source."""

from __future__ import annotations

from qatrix.declare.source.models import input_sources, is_one_tensor, model_source
from qatrix.declare.source.quantizers import phase_sources, why_inexpressible
from qatrix.declare.spec import Case, Training
from qatrix.scripts import CaseSource, TrainingSource


def case_source(case: Case) -> CaseSource:
    """The case as source. Raises what evaluating its sizes raises, as building its model does."""
    model = model_source(case)
    reasons = {name: why_inexpressible(case.quantizer, name) for name in case.pipelines}
    return CaseSource(
        case_id=case.case_id,
        seed=case.seed,
        device=case.device.torch,
        classes=model.classes,
        model=model.model,
        inputs=input_sources(case),
        one_tensor=is_one_tensor(case.pattern),
        pipelines=tuple(name for name, reason in reasons.items() if reason is None),
        inexpressible={name: reason for name, reason in reasons.items() if reason is not None},
        phases=phase_sources(case.quantizer, on_cpu=case.device.torch == "cpu", dynamic_batch=case.dynamic_batch),
        compare=case.compare,
        tolerance=case.tolerance,
        converts_in_training=case.convert_in == "train",
        training=_training(case.training),
        reexports=any(check.at == "reexport" for check in case.checks),
    )


def _training(training: Training | None) -> TrainingSource | None:
    if training is None:
        return None
    return TrainingSource(
        steps=training.steps,
        observers_off=training.observers == "disabled",
        batch_norms_off=training.batch_norms == "frozen",
    )
