"""The layer at fault, opened: what each program does there, line by line, with what differs marked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.diagnoses import CodeRow, GraphText, LayerRow, ParameterRow, Parameters, PointDiagnosis
from qatrix.digits import digits_apart
from qatrix.outcomes import Record
from qatrix.report.casepage.ledger import Entry, Ledger
from qatrix.report.casepage.nodes import Node, nodes_of
from qatrix.report.figures import NOT_MEASURED, decibels, number
from qatrix.report.lowered import lowered_models

_NOT_QUANTIZED: Final = "not quantized"
# A function and its file, as expectations and causes name them: "(fuse in torch/ao/quantization/fx/fuse.py)".
_SOURCE: Final = re.compile(r"\(([^()]{0,400}?[\w./-]+\.(?:py|cpp|h)\b[^()]{0,400})\)")
# "BatchNorm2d" is "batch_norm".
_DIMENSIONS: Final = re.compile(r"(?<=[a-z])[123]d$")
OF_WEIGHT: Final = "{} weight"
_ROUNDING: Final = frozenset({"quantize", "dequantize"})
_SETTINGS: Final = ("dtype", "scale", "zero point", "range", "scheme", "axis", "observer")


@dataclass(frozen=True, kw_only=True)
class Step:
    """An op of a layer; `own` where the other program has none like it there."""

    text: str
    own: bool


@dataclass(frozen=True, kw_only=True)
class Line:
    """A fact of both programs side by side; `differs` where it is not the same."""

    name: str
    sides: tuple[str, str]
    differs: bool


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """The quantization parameters of a tensor: one line where they are the same, else a line each."""

    name: str
    differs: bool
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """All about a layer: ops, parameters, values, codes, what runtimes run there, and the source that decides."""

    names: tuple[str, str]
    chains: tuple[tuple[Step, ...], tuple[Step, ...]]
    tensors: tuple[Tensor, ...]
    values: tuple[Line, ...]
    codes: tuple[tuple[str, CodeRow], ...]
    kernels: tuple[tuple[str, str], ...]
    sources: tuple[str, ...]


def panel(record: Record, ledger: Ledger, entry: Entry) -> Panel:
    """The facts of one layer; integer codes are those after convert, which alone has some."""
    names = (ledger.left, ledger.right)
    return Panel(
        names=names,
        chains=_chains(ledger.point, entry),
        tensors=tuple(map(_tensor, entry.parameters)),
        values=tuple(_values(entry.rows)),
        codes=tuple(_codes(record, ledger, entry)),
        kernels=tuple(_kernels(record, entry)),
        sources=_sources(record),
    )


def layer_nodes(graph: GraphText, entry: Entry) -> tuple[Node, ...]:
    """The nodes of a layer, and of those that are computed as one with it."""
    layers = {entry.layer, *(name for row in entry.rows for name in row.covers)}
    nodes = nodes_of(graph)
    own = [node for node in nodes if node.layer in layers and node.kind not in {"guard", "constant", "output"}]
    # A quantized weight is given back by an op that may have no layer of its own.
    read = {name for node in own for name in node.inputs}
    return tuple(
        node for node in nodes if node in own or (node.layer is None and node.kind in _ROUNDING and node.name in read)
    )


def _chains(point: PointDiagnosis, entry: Entry) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    labels = [[op_in_words(node) for node in layer_nodes(graph, entry)] for graph in point.graphs[:2]]
    left, right = (*labels, [], [])[:2]
    # A module that is called may round its weight by itself: no node of its own is no difference then.
    inside = (
        {OF_WEIGHT.format(kind) for kind in ("fake quantize", "quantize", "dequantize")} if _both_round(entry) else ()
    )
    return steps_of(left, [*right, *inside]), steps_of(right, [*left, *inside])


def op_in_words(node: Node) -> str:
    """An op as a reader calls it; one that rounds a weight says so."""
    return OF_WEIGHT.format(node.label) if node.kind in _ROUNDING and node.of_constant else node.label


def _both_round(entry: Entry) -> bool:
    """Whether both programs are known to round the layer's weight, wherever they do."""
    weight = next((row for row in entry.parameters if row.tensor.endswith(".weight")), None)
    sides = () if weight is None else (weight.left, weight.right)
    return bool(sides) and all(side is not None and side.scale_min is not None for side in sides)


def steps_of(ours: Sequence[str], theirs: Sequence[str]) -> tuple[Step, ...]:
    """Our ops in their order; of those that the other program has as well, each counts once."""
    left = [*theirs]
    steps = []
    for text in ours:
        shared = _like(text, left)
        if shared is not None:
            left.remove(shared)
        steps.append(Step(text=text, own=shared is None))
    return tuple(steps)


def _like(text: str, others: Sequence[str]) -> str | None:
    """The op among others that is the same: "conv2d" is "Conv2d"."""
    plain = _plain(text)
    return next((other for other in others if _plain(other) == plain), None)


def _plain(op: str) -> str:
    return _DIMENSIONS.sub("", op.lower().replace("_", "").replace(" ", ""))


def _tensor(row: ParameterRow) -> Tensor:
    scales = [value for side in (row.left, row.right) if side for value in (side.scale_min, side.scale_max)]
    digits = digits_apart([*scales, row.left_scale, row.right_scale])
    sides = [_settings(side, digits) for side in (row.left, row.right)]
    if row.status == "same":
        brief = _brief(sides[0])
        return Tensor(name=row.tensor, differs=False, lines=(Line(name="", sides=(brief, brief), differs=False),))
    if row.left is None or row.right is None:
        brief_sides = (_brief(sides[0]), _brief(sides[1]))
        return Tensor(name=row.tensor, differs=True, lines=(Line(name="", sides=brief_sides, differs=True),))
    apart = [name for name in _SETTINGS if sides[0][name] != sides[1][name]]
    same = ", ".join(sides[0][name] for name in _SETTINGS if name not in apart and sides[0][name])
    lines = [Line(name=name, sides=(sides[0][name], sides[1][name]), differs=True) for name in apart]
    lines += [Line(name="otherwise", sides=(same, same), differs=False)] if same else []
    return Tensor(name=row.tensor, differs=True, lines=tuple(lines))


def _brief(settings: dict[str, str]) -> str:
    """The settings that readers ask for first, in one line."""
    parts = (settings["dtype"], settings["scale"] and f"scale {settings['scale']}")
    zero = settings["zero point"] and f"zero point {settings['zero point']}"
    return ", ".join(part for part in (*parts, zero, settings["range"]) if part) or _NOT_QUANTIZED


def _settings(given: Parameters | None, digits: int) -> dict[str, str]:
    if given is None:
        return dict.fromkeys(_SETTINGS, "")
    return {
        "dtype": given.dtype or "",
        "scale": _span(given.scale_min, given.scale_max, digits),
        "zero point": _span(given.zero_point_min, given.zero_point_max, digits),
        "range": "" if given.quant_min is None else f"{given.quant_min}…{given.quant_max}",
        "scheme": (given.qscheme or "").replace("_", " "),
        "axis": "" if given.ch_axis is None or given.channels == 1 else f"{given.ch_axis} ({given.channels} channels)",
        "observer": given.observer or given.type or "",
    }


def _span(low: float | None, high: float | None, digits: int) -> str:
    known = [number(value, digits) for value in (low, high) if value is not None]
    return "…".join(dict.fromkeys(known))


def _values(rows: Sequence[LayerRow]) -> Iterator[Line]:
    for row in rows:
        what = "SQNR of the output" if row.value == "computed" else "SQNR after quantization"
        sides = tuple(
            NOT_MEASURED if db is None else f"{decibels(db)} dB" for db in (row.left_sqnr_db, row.right_sqnr_db)
        )
        if any(side != NOT_MEASURED for side in sides):
            yield Line(name=what, sides=(sides[0], sides[1]), differs=_tells(row))


def _tells(row: LayerRow) -> bool:
    """Whether one side is closer to the float model by more than its noise may turn."""
    return row.nearer is not None


def _codes(record: Record, ledger: Ledger, entry: Entry) -> Iterator[tuple[str, CodeRow]]:
    points = record.diagnosis.points if record.diagnosis is not None else ()
    tensors = {entry.layer, *(row.tensor for row in entry.parameters)}
    for point in points:
        where = ledger.where if point.at == ledger.at else f"after {point.at}"
        yield from ((where, row) for row in point.codes if row.tensor in tensors and row.different)


def _kernels(record: Record, entry: Entry) -> Iterator[tuple[str, str]]:
    """What each runtime runs for a layer, and what it computes in."""
    layers = {entry.layer, *(name for row in entry.rows for name in row.covers)}
    for model in lowered_models(record):
        ran = model.lowering.ran
        for kernel in () if ran is None else ran.kernels:
            if layers & {*kernel.layers}:
                word = {"integers": "in integers", "float": "in float", "none": "moves values"}[kernel.arithmetic]
                yield model.deployed, f"{kernel.name}, {word}"


def _sources(record: Record) -> tuple[str, ...]:
    """The function and file that decide it, as far as a cause or the expectation names them."""
    causes = record.diagnosis.causes if record.diagnosis is not None else ()
    texts = [text for cause in causes for text in (cause.sentence, *cause.evidence)]
    texts += [record.expected.because] if record.expected is not None else []
    found = [match.strip() for text in texts for match in _SOURCE.findall(text)]
    return tuple(dict.fromkeys(found))[:3]
