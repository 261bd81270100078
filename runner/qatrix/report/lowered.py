"""What became of converted models in their runtimes: lines, facts and tables for the terminal and the page alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from qatrix.lowerings import Kernel, Lowering, Ran, runtime_in_words
from qatrix.outcomes import LOWERED, Comparison, PipelineOutcome, Record
from qatrix.report.explanation import Cell, Table, cause_line
from qatrix.report.figures import NOT_MEASURED, clipped, counted, decibels, number
from qatrix.report.vocabulary import Tone, status_words
from qatrix.runtimes import BUILT_IN
from qatrix.text import steps_apart

# What a model is computed in, in its runtime: all that the quantizer quantizes in integers, some of it, none of it; as
# the reference does; or nobody knows.
RunsIn = Literal["integers", "partly", "float", "reference", "untold"]
_LIMIT: Final = 1000
_IN_WORDS: Final[dict[RunsIn, str]] = {
    "integers": "all that is quantized runs in integers",
    "partly": "only a part of it runs in integers",
    "float": "nothing runs in integers",
    "reference": "it computes as the reference does",
    "untold": "the runtime does not say what it computes in",
}
_TONES: Final[dict[str, Tone]] = {"integers": "good", "float": "known", "none": "quiet"}


@dataclass(frozen=True, kw_only=True)
class LoweredModel:
    """One pipeline's model in its runtime: what it is called, what is known of it, and how far off its reference it is.

    `off` is None where the two were not compared.
    """

    deployed: str
    outcome: PipelineOutcome
    lowering: Lowering
    off: Comparison | None

    @property
    def runtime(self) -> str:
        """The runtime with its options: "native (engine qnnpack)"."""
        return runtime_in_words(self.lowering.runtime, self.lowering.options)

    @property
    def runs_in(self) -> RunsIn:
        """What it is computed in."""
        return runs_in(self.lowering)


def lowered_models(record: Record) -> tuple[LoweredModel, ...]:
    """Those of the pipelines that got as far as their runtime."""
    return tuple(
        LoweredModel(
            deployed=outcome.lowering.deployed(name),
            outcome=outcome,
            lowering=outcome.lowering,
            off=_off(record, name, outcome.lowering),
        )
        for name, outcome in record.pipelines.items()
        if outcome.lowering is not None
    )


def pipeline_of(record: Record, side: str) -> str:
    """The pipeline that a comparison's side is of: "pt2e" of "pt2e on executorch"."""
    for name, outcome in record.pipelines.items():
        if side == name or (outcome.lowering is not None and side == outcome.lowering.side(name)):
            return name
    return side


def is_own(record: Record, item: Comparison) -> bool:
    """Whether a comparison is of a runtime and its own pipeline's reference."""
    return item.at == LOWERED and pipeline_of(record, item.left) == pipeline_of(record, item.right)


def runs_in(lowering: Lowering) -> RunsIn:
    """What a model is computed in, by the runtime's own account."""
    ran = lowering.ran
    arithmetic = set() if ran is None else {kernel.arithmetic for kernel in ran.kernels}
    built_in = BUILT_IN.get(lowering.runtime)
    if built_in is not None and not built_in.computes_in_integers and built_in.file is None:
        # No op is expected in integers there, so none is named in `float_ops`; AOTInductor finds its kernels itself.
        if "integers" not in arithmetic:
            return "reference"
        return "partly" if "float" in arithmetic else "integers"
    if ran is None or not (ran.kernels or ran.float_ops):
        return "untold"
    if "integers" in arithmetic:
        return "partly" if ran.float_ops else "integers"
    # Kernels that move values, such as those of pooling and reshaping, move integers as well.
    return "float" if ran.float_ops or "float" in arithmetic else "integers"


def lowered_line(model: LoweredModel) -> str:
    """For instance "pt2e on executorch (partitioner xnnpack) 1.5.1: SQNR 36.2 dB, 1 quantization step off, …"."""
    words = [f"SQNR {decibels(model.lowering.sqnr_db)} dB"] if model.lowering.sqnr_db is not None else []
    words += [f"{told} off its reference"] if (told := _how_far(model.off)) else []
    words += [_IN_WORDS[model.runs_in]]
    ran = model.lowering.ran
    if ran is not None and ran.size_bytes is not None:
        words.append(f"{number(ran.size_bytes)} bytes")
    version = f" {model.lowering.version}" if model.lowering.version else ""
    return clipped(f"{model.deployed}{version}: {', '.join(words)}", _LIMIT)


def lowered_lines(model: LoweredModel) -> tuple[str, ...]:
    """Where it first leaves its reference, why, and notes; evidence is indented."""
    return tuple(_lines(model.lowering))


def lowered_facts(model: LoweredModel) -> tuple[tuple[str, str], ...]:
    """Everything that is a single figure or word, with its label; what was not measured is left out."""
    ran = model.lowering.ran or Ran()
    facts = (
        ("version", model.lowering.version or NOT_MEASURED),
        ("SQNR of the reference, dB", decibels(model.outcome.sqnr_db)),
        ("SQNR in the runtime, dB", decibels(model.lowering.sqnr_db)),
        ("the same of what varies, dB", decibels(model.lowering.variation_db)),
        ("steps off the reference", number(None if model.off is None else model.off.max_steps)),
        ("computed", _IN_WORDS[model.runs_in]),
        ("ops delegated", number(ran.delegated)),
        ("ops left over", number(ran.left_over)),
        ("partitions", number(ran.partitions)),
        ("size, bytes", NOT_MEASURED if ran.size_bytes is None else f"{ran.size_bytes:,}"),
    )
    return tuple((label, value) for label, value in facts if value != NOT_MEASURED)


def lowered_tables(model: LoweredModel) -> tuple[Table, ...]:
    """Ops that run in float although they are quantized, then all kernels; tables without rows are left out."""
    ran = model.lowering.ran or Ran()
    tables = (
        Table(
            title=f"What is quantized and runs in float, {model.deployed}",
            columns=("layer", "op", "because"),
            rows=tuple(
                (Cell(text=op.layer or NOT_MEASURED), Cell(text=op.op), Cell(text=op.because or ""))
                for op in ran.float_ops
            ),
        ),
        Table(
            title=f"Kernels of {model.deployed}: {counted(sum(kernel.count for kernel in ran.kernels), 'op')}",
            columns=("kernel", "computes in", "how often", "layers"),
            rows=tuple(map(_kernel_cells, ran.kernels)),
        ),
    )
    return tuple(table for table in tables if table.rows)


def _off(record: Record, pipeline: str, lowering: Lowering) -> Comparison | None:
    sides = {pipeline, lowering.side(pipeline)}
    return next((item for item in record.comparisons if item.at == LOWERED and {item.left, item.right} == sides), None)


def _how_far(off: Comparison | None) -> str | None:
    if off is None:
        return None
    if off.max_steps is not None:
        return steps_apart(number(off.max_steps))
    return number(off.max_abs) if off.max_abs is not None else status_words(off.status)[1]


def departure_lines(model: LoweredModel) -> tuple[str, ...]:
    """Where it first leaves its reference, and notes; the causes are for the beginning of a page."""
    return (*_departure(model.lowering), *_notes(model.lowering))


def _departure(lowering: Lowering) -> Iterator[str]:
    if lowering.first is not None:
        alone = "" if lowering.first.alone else " (lowered by itself, this op does not show it)"
        yield f"{lowering.first.sentence.rstrip('.')}{alone}."


def _notes(lowering: Lowering) -> Iterator[str]:
    yield from (f"Note: {note.rstrip('.')}." for note in (*lowering.notes, *(lowering.ran or Ran()).notes))


def _lines(lowering: Lowering) -> Iterator[str]:
    yield from _departure(lowering)
    for cause in lowering.causes:
        yield f"Cause, {cause_line(cause)}."
        yield from (f"  evidence: {line}" for line in cause.evidence)
    yield from _notes(lowering)


def _kernel_cells(kernel: Kernel) -> tuple[Cell, ...]:
    word = {"integers": "integers", "float": "float", "none": "moves values"}[kernel.arithmetic]
    return (
        Cell(text=kernel.name),
        Cell(text=word, tone=_TONES[kernel.arithmetic]),
        Cell(text=str(kernel.count), numeric=True),
        Cell(text=", ".join(kernel.layers) or NOT_MEASURED),
    )
