"""What a matrix claims about its cases: tolerances, graph checks, expectations.

Declared in YAML, judged later, kept in the record: so they live on common ground.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from qatrix.errors import Source
from qatrix.expressions import Statement, Value

Verdict = Literal[
    "exact",
    "close",
    "checked",
    "diverged",
    "check_failed",
    "unquantized",
    "failed",
    "unavailable",
    "skipped",
    "invalid",
    "timed_out",
    "crashed",
]
# Checks that are made for every case without being declared; execute.soundness makes them.
# The converted model gives the same bits whatever the seed, and has no op that draws at random.
DETERMINISTIC_EVAL: Final = "deterministic_eval"
# A forward pass of the converted model leaves its buffers as they are.
STEADY_EVAL: Final = "steady_eval"
# Captured with a free batch axis, the converted model gives a batch twice as long the same outputs for both halves.
OTHER_BATCH: Final = "other_batch"
# Captured with free axes, the converted model is as near to the float model at twice their lengths.
OTHER_SIZE: Final = "other_size"
# Every fake quantize and observer has seen values in the forward pass after prepare.
OBSERVED: Final = "observed"
# Batch norms have moved in the forward pass of training, and not in that of evaluation.
BATCH_NORM_STATE: Final = "batch_norm_state"
# Weights with a scale per channel have one for each output channel, along the axis of these.
WEIGHT_SCALES: Final = "weight_scales"
# As many weights are quantized after convert as were fake quantized or observed after prepare.
WEIGHTS_QUANTIZED: Final = "weights_quantized"
# Every convolution and linear layer that the quantizer claims has a quantized weight and input after convert.
OPS_QUANTIZED: Final = "ops_quantized"
# Every convolution and linear layer that the quantizer is told to leave in float has a float weight after convert.
FLOAT_KEPT: Final = "float_kept"
# No batch norm is left behind a convolution or linear layer after convert.
BATCH_NORM_FOLDED: Final = "batch_norm_folded"
# Biases that are declared as integers are integers after convert.
BIASES_QUANTIZED: Final = "biases_quantized"
# Every parameter and buffer that the float model reads is read by the converted one, directly or folded.
PARAMETERS_READ: Final = "parameters_read"
# Nothing is quantized where a suite says that nothing is to be.
NOTHING_QUANTIZED: Final = "nothing_quantized"
# The float model's outputs are such that equal ones prove something: there are some, finite, and not all the same.
INFORMATIVE_OUTPUTS: Final = "informative_outputs"
AS_SPECIFIED: Final = "as_specified"
# The converted model's outputs are finite where the float model's are.
FINITE_OUTPUTS: Final = "finite_outputs"
# The SQNR is not below what the number of bits explains.
SQNR_OF_BITS: Final = "sqnr_of_bits"
# No batch norm follows a quantized convolution without being fused with it, where both could be.
CONV_BN_FUSED: Final = "conv_bn_fused"
# The case has left the process as it found it; a record has this check where it fails.
LEAVES_NO_TRACE: Final = "leaves_no_trace"
# What a lifecycle makes of a program gives the same bits as what the program gives without it.
SURVIVES_LIFECYCLE: Final = "survives_lifecycle"
# What the quantizer quantizes runs in integers in a runtime that computes in them.
RUNS_IN_INTEGERS: Final = "runs_in_integers"
BUILT_IN_CHECKS: Final = frozenset(
    {
        DETERMINISTIC_EVAL,
        STEADY_EVAL,
        OTHER_BATCH,
        OTHER_SIZE,
        OBSERVED,
        BATCH_NORM_STATE,
        WEIGHT_SCALES,
        WEIGHTS_QUANTIZED,
        OPS_QUANTIZED,
        FLOAT_KEPT,
        BATCH_NORM_FOLDED,
        BIASES_QUANTIZED,
        PARAMETERS_READ,
        NOTHING_QUANTIZED,
        INFORMATIVE_OUTPUTS,
        AS_SPECIFIED,
        FINITE_OUTPUTS,
        SQNR_OF_BITS,
        CONV_BN_FUSED,
        LEAVES_NO_TRACE,
        SURVIVES_LIFECYCLE,
        RUNS_IN_INTEGERS,
    }
)
# What a suite compares unless it names its pipelines.
DEFAULT_PIPELINES: Final[tuple[str, ...]] = ("pt2e", "fx")
ComparisonPoint = Literal["prepare", "convert", "lowered"]
# What a suite's quantizers are to do with its patterns.
Quantizes = Literal["something", "nothing"]
CheckPoint = Literal["prepare", "convert", "reexport"]
# What a known cause does to its cases: numbers are wrong and nothing says so, layers are computed in float, a pipeline
# or runtime raises, or pipelines differ as they are documented and lose nothing.
Impact = Literal["wrong_numbers", "left_in_float", "error", "by_design"]
IssueState = Literal["open", "closed", "merged"]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far two tensors may be apart: |left - right| <= atol + rtol * |right|.

    The default is `torch.testing.assert_close`'s for float32.
    https://docs.pytorch.org/docs/stable/testing.html
    """

    name: str = "float32"
    rtol: float = 1.3e-6
    atol: float = 1e-5


@dataclass(frozen=True, kw_only=True)
class GraphCheck:
    """An assertion on the graph that a pipeline made, bound to one case.

    `graph` is an expected graph in the small language; `counts` maps an op to how often it
    occurs; `order` lists ops that must occur in this order (others may stand between);
    `absent` lists ops that must not occur; `live_annotations` demands that no quantization
    annotation refers to a node that is not in the graph any more. `scope` holds the values
    that the expressions may use: the check's parameters, the pattern's parameters, `dim`
    and `per_channel`.
    """

    name: str
    about: str
    at: CheckPoint
    pipelines: tuple[str, ...]
    graph: tuple[Statement, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    live_annotations: bool = False
    scope: Mapping[str, Value] = field(default_factory=dict)
    source: Source


@dataclass(frozen=True, kw_only=True)
class Transcript:
    """A graph as a check claims it: how often each op occurs, all ops in their order, and an expected graph's lines."""

    counts: Mapping[str, int]
    order: tuple[str, ...]
    graph: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Issue:
    """An issue or pull request upstream, and what had become of it on the day when somebody looked (`checked`)."""

    link: str
    state: IssueState
    checked: str


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A known difference: the verdict that YAML declares for the cases a glob names, and why.

    It holds only where every condition does: `torch`, `torchao`, `executorch` and `onnxruntime` are version
    specifiers (">=2.5,<2.9"), or "none" where the package is not installed, `device` is a device name,
    `runtime` that of a runtime, and `cpu` says which features the processor has or lacks ({"vnni": False}).
    `pipeline`, `stage`, `error` (the exception's type) and `message` (a part of its message) narrow a
    failure; `checks` names the checks that fail too. Strict both ways: a case that ends in another way
    is unexpected, also when it got better.

    `title` is the cause in a few words. Expectations that name a declared cause (`cause`, its key) have its `title`,
    `because` and `link`, and also its `sentence` (for a user), its `impact`, the `advice` and its `issue` upstream;
    those without one share a cause where they share `because`.
    """

    cases: str
    verdict: Verdict
    because: str
    pipeline: str | None = None
    stage: str | None = None
    error: str | None = None
    message: str | None = None
    checks: tuple[str, ...] = ()
    torch: str | None = None
    torchao: str | None = None
    executorch: str | None = None
    onnxruntime: str | None = None
    device: str | None = None
    cpu: Mapping[str, bool] = field(default_factory=dict)
    runtime: str | None = None
    link: str | None = None
    title: str | None = None
    cause: str | None = None
    sentence: str | None = None
    impact: Impact | None = None
    advice: str | None = None
    issue: Issue | None = None
    source: Source
