"""Kinds of faults, one module per family."""

from typing import Final

from mutants.faults import evaluation, norms, parameters, structure, training, weights
from mutants.faults.fault import Fault

FAULTS: Final[tuple[Fault, ...]] = (
    *parameters.FAULTS,
    *weights.FAULTS,
    *norms.FAULTS,
    *structure.FAULTS,
    *evaluation.FAULTS,
    *training.FAULTS,
)
