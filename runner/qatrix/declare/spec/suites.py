"""Products of axes, with what they leave out and what they check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qatrix.claims import ComparisonPoint, GraphCheck, Tolerance
from qatrix.declare.spec.registrations import OwnPipeline
from qatrix.errors import Source
from qatrix.expressions import Value

# A suite without tags has the first; the second takes every suite.
DEFAULT_TAG = "default"
FULL_TAG = "full"


@dataclass(frozen=True, kw_only=True)
class CheckUse:
    """A suite's use of a named check: for the cases that have all values of `where`, with
    the parameters of `with_`.
    """

    check: GraphCheck
    where: Mapping[str, tuple[Value, ...]]
    with_: Mapping[str, Value]
    source: Source


@dataclass(frozen=True, kw_only=True)
class Rule:
    """An entry of `include`, `exclude` or `nothing`: values per axis, a reason, a place."""

    values: Mapping[str, tuple[Value, ...]]
    because: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class SuiteSpec:
    """A product of axes, what it adds and leaves out, and the checks to make.

    `axes` keeps the order of the file. `pipelines` lists who runs; where it is not all of
    them `pipelines_because` says why; `own_pipelines` are those of them that are not built in. `convert_in`
    is the mode the prepared model is in when it is converted. `nothing` says for which cases nothing is to be
    quantized. `skip` is a reason not to run the suite's cases, None to run them. `tags` say in which
    selections the suite is. A runtime's outputs may be `within_steps` quantization steps of its reference's.
    """

    name: str
    about: str
    axes: Mapping[str, tuple[Value, ...]]
    include: tuple[Rule, ...]
    exclude: tuple[Rule, ...]
    pipelines: tuple[str, ...]
    pipelines_because: str | None
    compare: tuple[ComparisonPoint, ...]
    checks: tuple[CheckUse, ...]
    tolerance: Tolerance
    convert_in: Literal["eval", "train"]
    skip: str | None
    source: Source
    tags: tuple[str, ...] = (DEFAULT_TAG,)
    nothing: tuple[Rule, ...] = ()
    own_pipelines: Mapping[str, OwnPipeline] = field(default_factory=dict)
    within_steps: float = 1.0
