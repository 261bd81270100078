"""Why two pipelines differ on a case: layers, parameters, integer codes, causes. Frozen, JSON-able, without torch.

Units are in the names; None means "not measured" or "cannot be told". `left` and `right`
are the two pipelines of a diagnosis, whichever they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

# How two values of one place stand to one another: equal to the bit, within tolerance, beyond
# it, not comparable (another shape or dtype), or there in one program alone.
Agreement = Literal["exact", "close", "diverged", "mismatched", "left_only", "right_only"]
Class = Literal["one_pipeline", "by_design", "defect", "unexplained"]


@dataclass(frozen=True, kw_only=True)
class LayerRow:
    """One value of the model in both programs, in the order of execution.

    `layer` is the path of a module ("layer1.0.conv1"), the path of a function's module and its
    name ("layer1.0.add"), or the name of an input, with "@2" for the second call; `op` what the
    float model does there. `covers` are earlier layers that a program computes as one with it.
    `value` says whether this is what the layer computed, or what is passed on after
    quantization: there the side that does not quantize passes on what it computed.
    `left_node` and `right_node` name the op and the node of each graph.
    `inputs_agree` is whether everything that the layer reads is equal in both within
    tolerance. The SQNRs are against the float model in the same state, in decibels, infinite
    where there is no noise. The variations are SQNRs of what varies from sample to sample, so that
    an offset or a mask counts for nothing. `nearer` is the name of the pipeline that is nearer to
    the float model here, None where float cannot decide.
    """

    layer: str
    op: str
    value: Literal["computed", "quantized"]
    status: Agreement
    covers: tuple[str, ...] = ()
    left_node: str | None = None
    right_node: str | None = None
    inputs_agree: bool | None = None
    max_abs: float | None = None
    max_steps: float | None = None
    mismatched: int | None = None
    total: int | None = None
    left_sqnr_db: float | None = None
    right_sqnr_db: float | None = None
    left_variation_db: float | None = None
    right_variation_db: float | None = None
    nearer: str | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """The first layer that differs while its inputs agree.

    `within_tolerance` is True where nothing is beyond the tolerance, and this is the first
    layer that is not equal to the bit. `sentence` says it in words.
    """

    at: str
    layer: str
    op: str
    value: Literal["computed", "quantized"]
    covers: tuple[str, ...] = ()
    within_tolerance: bool
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """How one program quantizes one tensor.

    `node` is the op and node that quantizes, `type` the class of the fake quantize or observer
    (None for an op), `observer` that of the observer inside it. Per channel there are
    `channels` scales and zero points, summarised by the least and the greatest.
    """

    node: str
    type: str | None = None
    observer: str | None = None
    dtype: str | None = None
    qscheme: str | None = None
    quant_min: int | None = None
    quant_max: int | None = None
    ch_axis: int | None = None
    eps: float | None = None
    channels: int = 1
    scale_min: float | None = None
    scale_max: float | None = None
    zero_point_min: int | None = None
    zero_point_max: int | None = None


@dataclass(frozen=True, kw_only=True)
class ParameterRow:
    """The quantization parameters of one tensor in both programs; `tensor` is a layer, or "conv.weight".

    `differing` names the parameters that differ. Where scales or zero points do, `worst_channel`
    is the channel in which they are furthest apart (None per tensor), with both sides' values.
    """

    tensor: str
    status: Literal["same", "differs", "left_only", "right_only"]
    left: Parameters | None = None
    right: Parameters | None = None
    differing: tuple[str, ...] = ()
    worst_channel: int | None = None
    left_scale: float | None = None
    right_scale: float | None = None
    left_zero_point: int | None = None
    right_zero_point: int | None = None


@dataclass(frozen=True, kw_only=True)
class CodeBin:
    """How many elements have a difference of codes (left minus right) from `low` to `high`, both included."""

    low: int
    high: int
    count: int


@dataclass(frozen=True, kw_only=True)
class CodeRow:
    """The integer codes of one tensor that both converted programs quantize.

    The `different` elements are split by what makes their codes differ, each counted once:
    `from_inputs` where the values that are quantized differ beyond tolerance, and also where
    they are not known but every parameter is equal; of the others `from_clamping` where one
    side alone is at an end of its range, `from_parameters` where scale or zero point differ,
    `from_ties` where the value lies on the border of two codes, and `unexplained`.
    """

    tensor: str
    total: int
    different: int
    max_difference: int
    histogram: tuple[CodeBin, ...] = ()
    from_inputs: int = 0
    from_parameters: int = 0
    from_clamping: int = 0
    from_ties: int = 0
    unexplained: int = 0


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A reason by name why the pipelines differ, and the facts that show it.

    `name` is one of the recognisers' ("batch_norm_eps_replaced"), or "unexplained".
    `kind` is "one_pipeline" (one pipeline does or can do something that the other does not),
    "by_design" (both do as they are documented), "defect" (a pipeline does not compute what
    the float model says) or "unexplained". `pipeline` is the one that departs from the float
    model, or that does more, None where that cannot be told. `explains_first` is True where
    it changes the value that is the first to differ, `explains_at` names all points for whose
    first divergence that holds.
    """

    name: str
    kind: Class
    sentence: str
    pipeline: str | None = None
    layer: str | None = None
    evidence: tuple[str, ...] = ()
    explains_first: bool = False
    explains_at: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GraphLine:
    """One node of a program as text; `layer` is the layer of the float model that it belongs to."""

    text: str
    layer: str | None = None


@dataclass(frozen=True, kw_only=True)
class GraphText:
    """A program's graph, readable; `first_differing` is the index of the line of the first divergence."""

    pipeline: str
    lines: tuple[GraphLine, ...] = ()
    first_differing: int | None = None


@dataclass(frozen=True, kw_only=True)
class PointDiagnosis:
    """Both programs at one comparison point ("prepare", "convert").

    `layers` are in the order of execution, `parameters` with differing ones first. `sqnr_db`
    maps a pipeline to the SQNR of its output at this point, `variation_db` to that of what varies
    in it from sample to sample; `nearer` names the pipeline whose output is nearer to the float
    model, None where float cannot decide, and `nearer_because` says why.
    """

    at: str
    layers: tuple[LayerRow, ...] = ()
    first: Divergence | None = None
    parameters: tuple[ParameterRow, ...] = ()
    codes: tuple[CodeRow, ...] = ()
    sqnr_db: Mapping[str, float | None] = field(default_factory=dict)
    variation_db: Mapping[str, float | None] = field(default_factory=dict)
    nearer: str | None = None
    nearer_because: str | None = None
    graphs: tuple[GraphText, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Why two pipelines differ on a case, and which is nearer to the float model.

    `first` is the first divergence of the earliest point that has one. `nearer` is judged at
    the last point that was reached. `notes` say what could not be found out, and why;
    `seconds` is what the diagnosis took.
    """

    left: str
    right: str
    first: Divergence | None = None
    nearer: str | None = None
    nearer_because: str | None = None
    causes: tuple[Cause, ...] = ()
    points: tuple[PointDiagnosis, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
