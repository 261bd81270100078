"""What became of a converted model in a runtime: what ran where, how far it is off, and why. Frozen, without torch.

Units are in the names; None means "not measured" or "cannot be told".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from qatrix.diagnoses import Cause
from qatrix.expressions import Value

# What a kernel computes in: integers, floating point, or it computes nothing and moves or rounds values.
Arithmetic = Literal["integers", "float", "none"]
# The runtime that a case has unless it names another: the converted program itself.
REFERENCE: Final = "reference"


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel or op that a runtime runs, by the runtime's own name for it, and how often it occurs.

    `layers` are those of the float model that it computes, as far as the runtime says.
    """

    name: str
    arithmetic: Arithmetic
    count: int = 1
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FloatOp:
    """An op that the quantizer quantizes, and that the runtime computes in floating point all the same.

    `layer` is that of the float model, None where the runtime does not say; `op` is the program's name for it.
    """

    op: str
    layer: str | None = None
    because: str | None = None


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What ran where, by a runtime's own account.

    `delegated` and `left_over` count the ops that went to the runtime's backend and those that did not,
    `partitions` the parts that the backend got; None where the runtime has no such thing. `size_bytes` is the size of
    what is deployed. `float_ops` are the ops that were to run in integers and do not.
    """

    kernels: tuple[Kernel, ...] = ()
    delegated: int | None = None
    left_over: int | None = None
    partitions: int | None = None
    float_ops: tuple[FloatOp, ...] = ()
    size_bytes: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Departure:
    """The first place at which a runtime leaves its reference, whose values it is given as inputs.

    `layer` is the layer of the float model, `op` the program's op, `kernel` the runtime's name for what computes it.
    `max_steps` is how far it is off there, in quantization steps of that value, None where it has none.
    `alone` says whether this op by itself, lowered without the rest, shows it.
    """

    layer: str
    op: str
    kernel: str | None = None
    max_abs: float | None = None
    max_steps: float | None = None
    alone: bool = True
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Lowering:
    """One pipeline's converted model in its runtime.

    `runtime` is the runtime's name ("executorch"), `options` how it was told to run, `version` that of the package
    that it comes from. The SQNRs are against the float model, as those of the pipeline's own outcome are of the
    reference. `first` is the first departure, where one was looked for and found; `causes` are those that are
    recognised.
    """

    runtime: str
    options: Mapping[str, Value] = field(default_factory=dict)
    version: str | None = None
    sqnr_db: float | None = None
    variation_db: float | None = None
    ran: Ran | None = None
    first: Departure | None = None
    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()

    def side(self, pipeline: str) -> str:
        """What a comparison calls it: "pt2e on executorch"."""
        return f"{pipeline} on {self.runtime}"

    def deployed(self, pipeline: str) -> str:
        """The same with its options: "fx on native (engine qnnpack)"."""
        return f"{pipeline} on {runtime_in_words(self.runtime, self.options)}"


def runtime_in_words(runtime: str, options: Mapping[str, Value]) -> str:
    """A runtime with how it was told to run: "native (engine qnnpack)", or its name alone where it was told nothing."""
    told = ", ".join(f"{name} {_option(value)}" for name, value in options.items())
    return f"{runtime} ({told})" if told else runtime


def _option(value: Value) -> str:
    """An option's value as YAML spells it."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(_option, value))}]"
        case _:
            return str(value)
