"""The points of the suites' products, with all that it takes to run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qatrix.claims import ComparisonPoint, GraphCheck, Quantizes, Tolerance
from qatrix.declare.spec.axes import BatchNormState, CaptureMode, Lifecycle, ObserverState
from qatrix.declare.spec.matrices import DeviceSpec
from qatrix.declare.spec.patterns import ConvKind, PatternSpec
from qatrix.declare.spec.quantizers import QuantizerSpec
from qatrix.declare.spec.registrations import OwnPipeline
from qatrix.declare.spec.runtimes import RuntimeSpec, RuntimeUse
from qatrix.errors import Source
from qatrix.expressions import Value


@dataclass(frozen=True, kw_only=True)
class Training:
    """Optimizer steps between prepare and convert, at least one.

    `observers` and `batch_norms` say in which state observers and batch norms are in these
    steps; in the forward before them, which prepares the program, they are on.
    """

    steps: int
    observers: ObserverState = "enabled"
    batch_norms: BatchNormState = "training"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One point of a product, with everything that is needed to run it.

    `params` are the pattern's parameters with the axes' values in them. `seed` makes the
    weights and inputs: a hash of what the float model is (pattern, conv kind, dim,
    parameters), so that it does not depend on suite, quantizer, training, pipeline, device or order.
    `training` is None where no step is made. `dtype` is that of parameters and floating inputs,
    which are made in float32 and cast. With `dynamic_batch` the first axis of every input is
    captured free, and the converted model runs on another batch, too. Where it `quantizes` nothing, a pipeline
    that quantizes is at fault instead of one that does not. `calibration_batches` is how many batches run
    before the program is converted, None for all that there are. `capture` is how PT2E exports the model,
    `lifecycle` what else is done with its programs, which must change nothing. `own_pipelines` are those of
    its pipelines that are not built in, by name. `runtime` is where its converted models run, None for the
    reference, from which they may be `within_steps` quantization steps of the output.
    """

    case_id: str
    suite: str
    axes: Mapping[str, Value]
    pattern: PatternSpec
    params: Mapping[str, Value]
    conv_kind: ConvKind | None
    dim: int | None
    quantizer: QuantizerSpec
    device: DeviceSpec
    pipelines: tuple[str, ...]
    pipelines_because: str | None
    compare: tuple[ComparisonPoint, ...]
    tolerance: Tolerance
    checks: tuple[GraphCheck, ...]
    convert_in: Literal["eval", "train"]
    skip: str | None
    seed: int
    source: Source
    training: Training | None = None
    dtype: str = "float32"
    dynamic_batch: bool = False
    quantizes: Quantizes = "something"
    calibration_batches: int | None = None
    capture: CaptureMode = "strict"
    own_pipelines: Mapping[str, OwnPipeline] = field(default_factory=dict)
    lifecycle: Lifecycle = "none"
    runtime: RuntimeSpec | None = None
    within_steps: float = 1.0

    @property
    def runs_own_code(self) -> bool:
        """Whether its model or quantizer is made, or it is quantized or run, by code that qatrix does not know."""
        own_runtime = self.runtime is not None and self.runtime.runs_own_code
        return self.pattern.runs_own_code or self.quantizes_by_own_code or own_runtime

    def runtime_of(self, pipeline: str) -> RuntimeUse | None:
        """Where a pipeline's converted model runs, None for the reference."""
        return None if self.runtime is None else self.runtime.uses.get(pipeline)

    @property
    def quantizes_by_own_code(self) -> bool:
        """Whether a quantizer or a pipeline is code that qatrix does not know."""
        return self.quantizer.runs_own_code or bool(self.own_pipelines)
