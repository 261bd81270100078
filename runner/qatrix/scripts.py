"""A case as Python source, in the parts that a script of its own is put together from. Text only, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from qatrix.claims import Tolerance
from qatrix.runtimes import Takes

# How a script finds a package of the user's own.
OWN_PACKAGE: Final = "run it with PYTHONPATH set to the folder that holds it"


@dataclass(frozen=True, kw_only=True)
class QuantizerSource:
    """What one pipeline is told, as source.

    `definitions` are statements of the script's top level (functions, classes, specs), empty
    where there is nothing to define; `lines` make `quantizer` (PT2E), `qconfigs` and
    `backend_config` (FX), or `pipeline` (of a pipeline that is not built in).
    `needs` says which package beside PyTorch's the lines import, and how to come by it.
    """

    definitions: str = ""
    lines: tuple[str, ...]
    needs: str | None = None


@dataclass(frozen=True, kw_only=True)
class PhaseSource:
    """One round of capture, prepare, forward and convert; `submodules` is empty for the whole model.

    `quantizers` has a source for each preset that a built-in pipeline takes, and for each other pipeline by its
    name, as far as they can express the quantizer. `converts_with` are the arguments that PT2E's convert is
    told beside the program, as source.
    """

    trains: bool
    submodules: tuple[str, ...] = ()
    dynamic_batch: bool = False
    quantizers: Mapping[str, QuantizerSource]
    converts_with: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RuntimeSource:
    """Where a pipeline's model runs, as source.

    `side` is what figures call it: "pt2e on executorch". `body` is that of a function of `program`, `args`, `kwargs`,
    an example call, and `backend_config`, which returns what is called as the program is. `takes` says which program
    it is given; `needs` as that of a quantizer.
    """

    side: str
    body: str
    takes: Takes = "converted"
    needs: str | None = None

    @property
    def exports(self) -> bool:
        """Whether it takes the program as `torch.export` gives it."""
        return "exported(" in self.body

    @property
    def is_flat(self) -> bool:
        """Whether it takes and gives tensors alone."""
        return "tensors_of(" in self.body


@dataclass(frozen=True, kw_only=True)
class TrainingSource:
    """The optimizer steps between prepare and convert, and what is switched off before them."""

    steps: int
    observers_off: bool
    batch_norms_off: bool


@dataclass(frozen=True, kw_only=True)
class InputSource:
    """One expression for each input: those by position, and by name those by keyword.

    `nests` where any is not a tensor but a tuple or dict of them. `calibration_batches` is how many
    batches run before the program is converted, None for all; `files` are the paths that are read,
    `readers` has for each ending of files in a folder the expression that reads a `path`, and
    `counted` is the expression that says how many batches they have. `dims` are the sizes that a capture
    of the whole model leaves open, by their names, and `shapes` is what torch.export is told of them then.
    """

    args: tuple[str, ...] = ()
    kwargs: Mapping[str, str] = field(default_factory=dict)
    nests: bool = False
    calibration_batches: int | None = None
    files: tuple[str, ...] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    counted: str | None = None
    dims: Mapping[str, str] = field(default_factory=dict)
    shapes: str | None = None

    @property
    def count(self) -> str:
        """How many batches there are, as source."""
        if self.calibration_batches is None:
            return self.counted or "1"
        return str(max(self.calibration_batches, 1))

    @property
    def reads_npz(self) -> bool:
        """Whether arrays of numpy are read."""
        return ".npz" in self.readers or any(path.endswith(".npz") for path in self.files)

    @property
    def is_plain(self) -> bool:
        """Whether the inputs are tensors by position and nothing else."""
        return not self.kwargs and not self.nests

    @property
    def calibrates(self) -> bool:
        """Whether any batch runs before the program is converted."""
        return self.calibration_batches != 0

    @property
    def has_more(self) -> bool:
        """Whether there may be batches beyond the first."""
        return bool(self.files) if self.calibration_batches is None else self.calibration_batches > 1


@dataclass(frozen=True, kw_only=True)
class CaseSource:
    """A case as source.

    `classes` are the definitions of its modules, innermost first, `model` the expression that
    makes the model, `weights` the path of its parameters' file. Where a factory makes the model,
    `module` is where it stands, and `needs` the package of that, and how to come by it, unless it is one of
    PyTorch's.
    `one_tensor` says that the model's
    output is a single tensor for certain. `inexpressible` has the declared pipelines that
    cannot express the quantizer, with the reason; `pipelines` those that can. `strict` says how
    PT2E exports the model, `lifecycle` what else is done with its programs, `runtimes` where those of each pipeline
    run, where that is not the reference.
    """

    case_id: str
    seed: int
    device: str
    classes: tuple[str, ...]
    model: str
    module: str | None = None
    needs: str | None = None
    weights: str | None = None
    inputs: InputSource
    one_tensor: bool
    pipelines: tuple[str, ...]
    inexpressible: Mapping[str, str] = field(default_factory=dict)
    phases: tuple[PhaseSource, ...]
    compare: tuple[str, ...]
    tolerance: Tolerance
    converts_in_training: bool
    training: TrainingSource | None = None
    reexports: bool = False
    strict: bool = True
    lifecycle: str = "none"
    runtimes: Mapping[str, RuntimeSource] = field(default_factory=dict)

    @property
    def trains(self) -> bool:
        """Whether any phase is quantization-aware training."""
        return any(phase.trains for phase in self.phases)

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages beside PyTorch's that it imports, each with how to come by it."""
        quantizers = (source for phase in self.phases for source in phase.quantizers.values())
        runtimes = self.runtimes.values()
        needs = (self.needs, *(item.needs for item in quantizers), *(item.needs for item in runtimes))
        return tuple(dict.fromkeys(text for text in needs if text is not None))

    @property
    def files(self) -> tuple[str, ...]:
        """The files of tensors that the script reads."""
        return (*(() if self.weights is None else (self.weights,)), *self.inputs.files)

    @property
    def outliers(self) -> bool:
        """Whether a channel of an input, or of a tensor of the model's own, is made unlike the others."""
        texts = (*self.classes, *self.inputs.args, *self.inputs.kwargs.values())
        return any("with_outlier(" in text for text in texts)

    @property
    def is_whole(self) -> bool:
        """Whether the model is quantized as a whole, in one phase."""
        return len(self.phases) == 1 and not self.phases[0].submodules


def literal(value: object) -> str:
    """A value as source: scalars, and tuples, lists and mappings of them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, str):
        return quoted(value)
    return repr(value)


def quoted(text: str) -> str:
    """A text in double quotes where that takes no escapes, as a formatter would have it."""
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)
