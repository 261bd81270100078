"""What became of a case: facts, verdicts, records. Frozen, JSON-able, without torch.

Units are in the names; None means "not measured". What a run has a hundred thousand of has
slots, which halves the room that it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from qatrix.claims import Expectation, Verdict
from qatrix.diagnoses import Diagnosis, GraphText
from qatrix.errors import Source
from qatrix.expressions import Value
from qatrix.lowerings import Lowering

# Where several verdicts apply the first of these is the case's; the record keeps all the facts.
PRECEDENCE: Final[tuple[Verdict, ...]] = (
    "invalid",
    "skipped",
    "unavailable",
    "crashed",
    "timed_out",
    "failed",
    "unquantized",
    "diverged",
    "check_failed",
    "close",
    "checked",
    "exact",
)
# Verdicts that need no expectation: nothing is wrong, or nothing could be said.
UNREMARKABLE: Final[frozenset[Verdict]] = frozenset({"exact", "close", "checked", "skipped", "unavailable"})

# Verdicts of cases that no pipeline was asked about.
NOT_RUN: Final[frozenset[Verdict]] = frozenset({"skipped", "unavailable"})

# The most slices of a selection: more machines than anyone has.
MOST_SHARDS: Final = 10_000

# In their order; "train" is a stage of cases that train.
STAGES: Final = ("build", "capture", "prepare", "forward", "train", "convert", "quantized_forward")

# Stages of cases whose converted model runs in a runtime, after all others.
RUNTIME_STAGES: Final = ("lower", "lowered_forward")

# Stages of cases that have a lifecycle other than none, which is what they are called.
LIFECYCLE_STAGES: Final = ("save_load", "checkpoint", "state_dict", "deepcopy", "average", "eval_and_train", "repeat")

# Where two pipelines are compared, in their order, in words that follow "they are 0.1 apart".
COMPARED: Final[Mapping[str, str]] = {
    "prepare": "after prepare",
    "train_loss": "in the loss of training",
    "train_gradients": "in the gradients of the first step",
    "train_parameters": "in the parameters after training",
    "train_statistics": "in the batch norms' statistics after training",
    "convert": "after convert",
    "repeat": "in calls one after another",
    "lowered": "after lowering",
}
# The point of cases that have a runtime.
LOWERED: Final = "lowered"
# Those of cases that train.
TRAINING_POINTS: Final = tuple(point for point in COMPARED if point.startswith("train_"))

# What `survives_lifecycle` says of values, and a case's script of the same.
OTHERWISE: Final = "it gives other values than"
# The point of cases with this lifecycle.
REPEATED: Final = "repeat"


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorReport:
    """An exception, kept as text: its type's qualified name, message and traceback."""

    type: str
    message: str
    traceback: str

    @property
    def is_of_data(self) -> bool:
        """Whether a file of tensors is at fault, and not the model."""
        return self.type.rpartition(".")[2] == "DataFault"

    @property
    def is_of_parts(self) -> bool:
        """Whether the quantizer is at fault, which names modules that the model does not have."""
        return self.type.rpartition(".")[2] == "PartFault"

    @property
    def is_of_ops(self) -> bool:
        """Whether the quantizer is at fault, which names ops or their inputs that this torch does not have."""
        return self.type.rpartition(".")[2] == "OpFault"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTime:
    """One stage of one pipeline and how long it took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Whose quantizer or pipeline it was: its class, or what made it, the module of that, and where that comes from.

    `distribution` and `version` are None where no installed distribution has the module.
    """

    name: str
    module: str
    distribution: str | None = None
    version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineOutcome:
    """What one pipeline did with a case.

    `status` is "ok", "failed" (see `failed_stage` and `error`), "unavailable" (this
    environment lacks it), "inexpressible" (this pipeline cannot express the quantizer) or
    "not_declared" (the case leaves it out); `reason` says why where there is no error.
    `sqnr_db` compares the quantized output with the float model in eval mode after the same
    training forwards, `variation_db` does so with what varies in the float model's outputs from sample to
    sample, so that a constant counts for nothing. `fake_quantizes` counts fake-quantize modules (observers in post
    training quantization) after prepare; the other counts are of the converted graph. `integer_ops` counts
    what arithmetic makes or computes of integers where that stands in the place of quantize and dequantize ops,
    None where it does not. `quantizers` says
    whose quantizer classes these were, in the order of the phases; it is empty where the
    pipeline takes none, or none that could be imported. `origin` says whose the pipeline is, None where it is
    qatrix's own or could not be imported. `lowering` is what became of it in the case's runtime, None where that is
    the reference or it did not get as far. `keeps_float` says of a converted model of unknown code, in which no
    quantize or dequantize ops are seen, whether it gives the float model's output but for float32's rounding.
    """

    pipeline: str
    status: Literal["ok", "failed", "unavailable", "inexpressible", "not_declared"]
    reason: str | None = None
    failed_stage: str | None = None
    error: ErrorReport | None = None
    sqnr_db: float | None = None
    variation_db: float | None = None
    fake_quantizes: int | None = None
    quantize_ops: int | None = None
    dequantize_ops: int | None = None
    batch_norms_left: int | None = None
    integer_ops: int | None = None
    stages: tuple[StageTime, ...] = ()
    notes: tuple[str, ...] = ()
    quantizers: tuple[Origin, ...] = ()
    origin: Origin | None = None
    keeps_float: bool | None = None
    lowering: Lowering | None = None

    @property
    def is_converted(self) -> bool:
        """Whether its converted model has run."""
        return self.quantize_ops is not None or self.keeps_float is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two pipelines' outputs at one point, or what training them gave; after lowering, a runtime's and another side.

    A runtime's side is called "pt2e on executorch", and is compared with the pipeline's reference ("pt2e") and with
    the other runtimes.

    `status` is "exact" (equal to the bit), "close", "diverged" or "mismatched" (structure,
    shape or dtype differ, so there are no numbers; `message` says how). `max_abs` and
    `max_rel` are the greatest absolute and relative difference over all tensors,
    `max_abs_at` its place ("[0]['logits'][1, 2]"). `max_steps` is max_abs in quantization
    steps of the output, None where the output is not quantized. `tolerance_used` is the
    least factor of `rtol` and `atol` with which they are close: 0 where they are equal, above
    1 where they diverge, infinite where no tolerance would do.
    """

    at: str
    left: str
    right: str
    status: Literal["exact", "close", "diverged", "mismatched"]
    message: str | None = None
    max_abs: float | None = None
    max_rel: float | None = None
    max_abs_at: str | None = None
    mismatched: int | None = None
    total: int | None = None
    max_steps: float | None = None
    tolerance_used: float | None = None
    rtol: float
    atol: float

    @property
    def where(self) -> str:
        """The point in words that follow "they are 0.1 apart": "after convert"."""
        return COMPARED.get(self.at, f"after {self.at}")


def is_of_reference(item: Comparison) -> bool:
    """Whether a comparison is of a runtime with the pipeline's own reference."""
    return item.at == LOWERED and item.right.startswith(f"{item.left} on ")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckOutcome:
    """One check on one pipeline; "not_run" where the pipeline did not get as far."""

    name: str
    pipeline: str
    status: Literal["passed", "failed", "not_run"]
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """All that is known about one case of one run.

    `summary` is the verdict in words ("fx failed at prepare"), `reason` why a case did not
    run, `expected` the expectation that applied and `unexpected_because` what did not fit.
    `error` is that of an invalid model; of a crashed case its traceback is the end of what it printed.
    `diagnosis` says why the pipelines differ, where they do; a record without one has the converted programs in
    `graphs`, as far as they were followed and are not too large.
    `traces` are sentences on what of the process's state the case had changed; it was set back.
    `reused_from` is the id of an earlier run that executed the case, which has not changed since.
    """

    case_id: str
    suite: str
    axes: Mapping[str, Value]
    verdict: Verdict
    summary: str
    expected: Expectation | None = None
    unexpected: bool = False
    unexpected_because: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    checks: tuple[CheckOutcome, ...] = ()
    pipelines: Mapping[str, PipelineOutcome] = field(default_factory=dict)
    seed: int = 0
    seconds: float = 0.0
    reason: str | None = None
    error: ErrorReport | None = None
    diagnosis: Diagnosis | None = None
    graphs: tuple[GraphText, ...] = ()
    traces: tuple[str, ...] = ()
    reused_from: str | None = None
    source: Source


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Points of a product that are not cases, and declared cases that a selection left out.

    `kind` is "excluded" (by an `exclude`), "merged" (equal to another), "untagged" (its suite has
    none of the tags that were asked for) or "covered" (what it has, others have too); `count` is
    how many points or cases this reason dropped.
    """

    kind: Literal["excluded", "merged", "untagged", "covered"]
    suite: str
    because: str
    count: int
    source: Source


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The lines of YAML that declare what an axis' value or a suite is; `line` is the first of them, from 1.

    `about` says what it is, None where the YAML does not say.
    """

    axis: str
    name: str
    file: str
    line: int
    text: str
    about: str | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a run took place: package versions (None: not installed), platform, devices.

    `cpu` are features of the processor that decide what kernels give ("vnni"). `notes` are sentences on what does not
    work as it should here.
    """

    python: str
    platform: str
    processor: str
    packages: Mapping[str, str | None]
    devices: Mapping[str, str]
    threads: int
    cpu: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def cpu_words(self) -> str:
        """What the processor has and lacks, in words: "avx512, vnni, no amx"; "not known" where nothing is."""
        return ", ".join(name if has else f"no {name}" for name, has in sorted(self.cpu.items())) or "not known"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a selection of cases in one environment.

    `declared` is the number of selected cases; `dropped` what the expansion left out;
    `warnings` are stale expectations and excludes, as sentences; `command` the arguments
    that made the run; `started` is ISO 8601 in UTC.

    `shard` is the slice that was run ("3/8"), None for all, and `shard_by` what cut it ("hash",
    or "cost" with the name of the times that it was cut by); `matrix_digest` names what the
    matrix declares and `selectors` what of it was selected ("--only dim=2"), sorted: shards
    of one run have both in common. A merged run has the ids of its shards in `merged_from`,
    and in `missing_shards` those that it was made without. Where one pipeline's side came from a
    reference, `reference` says from which ("fx of torch 2.5.1, run …, sha256 …").
    """

    id: str
    started: str
    seconds: float
    command: tuple[str, ...]
    environment: Environment
    declared: int
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[str, ...] = ()
    finished: bool = False
    shard: str | None = None
    shard_by: str | None = None
    matrix_digest: str | None = None
    selectors: tuple[str, ...] = ()
    merged_from: tuple[str, ...] = ()
    missing_shards: tuple[str, ...] = ()
    reference: str | None = None
