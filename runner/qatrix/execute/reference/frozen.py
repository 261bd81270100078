"""What is kept of each case, and of where it was frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qatrix.outcomes import CheckOutcome, Environment, PipelineOutcome


@dataclass(frozen=True, kw_only=True)
class FrozenParameters:
    """An observer or fake quantize after prepare; scale and zero point are named by their digests."""

    module: str
    type: str
    dtype: str | None
    qscheme: str | None
    quant_min: int | None
    quant_max: int | None
    scale: str | None
    zero_point: str | None


@dataclass(frozen=True, kw_only=True)
class FrozenCase:
    """One pipeline's side of a case.

    `declaration` is the digest of all that the case declares, `inputs` and `weights` are those of
    what it was run on, and `float_model` that of what the float model made of it: outputs in
    evaluation, and in training with the statistics after it.
    `outputs` are trees of JSON, by the point where they are compared, `steps` the quantization
    steps of their leaves, `graphs` the digests of the program's graph at each point.
    """

    case_id: str
    declaration: str
    seed: int
    inputs: str
    weights: str
    float_model: str
    outcome: PipelineOutcome
    outputs: Mapping[str, str] = field(default_factory=dict)
    steps: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    checks: tuple[CheckOutcome, ...] = ()
    graphs: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[FrozenParameters, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a reference says about itself; `left_out` has a reason for each case of the run that is not in it."""

    pipeline: str
    run_id: str
    frozen: str
    qatrix: str
    environment: Environment
    matrix_digest: str | None
    cases: tuple[FrozenCase, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """Where it came from: "fx of torch 2.5.1, run 20261124-101500"."""
        return f"{self.pipeline} of torch {self.environment.packages.get('torch')}, run {self.run_id}"
