"""Both programs by layer of the source model: runs of equal layers folded, the first that differs standing open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, TypeVar

from qatrix.diagnoses import CodeRow, Diagnosis, LayerRow, ParameterRow, Parameters, PointDiagnosis
from qatrix.outcomes import COMPARED
from qatrix.report.casepage.lead import steps_in_words
from qatrix.report.figures import counted, listed, number
from qatrix.report.vocabulary import Tone, status_words

# How a layer stands: equal in values, parameters and codes; within tolerance; the first that differs; another one.
State = Literal["equal", "close", "first", "differs"]
_EQUAL: Final = frozenset({"equal", "close"})
# Layers that are told by name in the line of a fold.
_NAMED: Final = 3
# Differing layers of a run that are shown at once; after the first they follow from it.
MOST_SHOWN: Final = 6
FLOAT: Final = "float"
# From the best to the worst, of the rows of a layer the worst counts.
_WORSE: Final = ("exact", "close", "left_only", "right_only", "mismatched", "diverged")
_Row = TypeVar("_Row", ParameterRow, CodeRow)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One layer in both programs; `left` and `right` say in a few words how each quantizes its value.

    `apart` is how far the values are apart, in words, and `status` the worst of its rows.
    """

    layer: str
    op: str
    state: State
    status: str
    left: str
    right: str
    apart: str
    rows: tuple[LayerRow, ...]
    parameters: tuple[ParameterRow, ...]
    codes: tuple[CodeRow, ...]

    @property
    def same_values(self) -> bool:
        """Whether it differs in parameters or codes alone, which no first difference counts."""
        return self.status == "exact" and self.state == "differs"

    @property
    def glyph(self) -> tuple[str, str, Tone]:
        """Glyph, word and tone of how the layer stands."""
        if self.status in {"left_only", "right_only"}:
            return "◧", "one side only", "known"
        if self.same_values:
            what = "codes" if all(row.status == "same" for row in self.parameters) else "parameters"
            return "≠", f"{what} only, same values", "known"
        return status_words(self.status)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Neighboring layers that stand alike: equal ones, the first that differs, or some others that differ."""

    kind: Literal["equal", "first", "differs"]
    title: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """The layers of one comparison point, in the order of execution."""

    at: str
    where: str
    left: str
    right: str
    point: PointDiagnosis
    blocks: tuple[Block, ...]

    @property
    def first(self) -> Entry | None:
        """The first layer that differs, None where all are equal."""
        return next((block.entries[0] for block in self.blocks if block.kind == "first"), None)


def ledgers(diagnosis: Diagnosis) -> tuple[Ledger, ...]:
    """A ledger for each point that has layers; that of the first difference before others."""
    first = diagnosis.first
    points = sorted(
        (point for point in diagnosis.points if point.layers), key=lambda point: first is None or point.at != first.at
    )
    return tuple(_ledger(diagnosis, point) for point in points)


def _ledger(diagnosis: Diagnosis, point: PointDiagnosis) -> Ledger:
    entries = tuple(_entries(point))
    blocks = [tuple(group) for _, group in groupby(entries, key=_side)]
    return Ledger(
        at=point.at,
        where=COMPARED.get(point.at, f"after {point.at}"),
        left=diagnosis.left,
        right=diagnosis.right,
        point=point,
        blocks=tuple(map(_block, blocks)),
    )


def _side(entry: Entry) -> str:
    return "equal" if entry.state in _EQUAL else entry.state


def _block(entries: tuple[Entry, ...]) -> Block:
    if entries[0].state == "first":
        return Block(kind="first", title=entries[0].layer, entries=entries)
    if entries[0].state == "differs":
        verb = "differs" if len(entries) == 1 else "differ"
        title = f"{counted(len(entries), 'more layer')} {verb}"
        if all(entry.same_values for entry in entries):
            title = f"{counted(len(entries), 'layer')} with the same values {verb} in parameters or codes"
        return Block(kind="differs", title=title, entries=entries)
    close = sum(entry.state == "close" for entry in entries)
    within = f", {close} of them within tolerance" if close else ""
    return Block(
        kind="equal", title=f"{counted(len(entries), 'layer')} equal{within}: {_some(entries)}", entries=entries
    )


def _some(entries: Sequence[Entry]) -> str:
    names = [entry.layer for entry in entries]
    return ", ".join(names) if len(names) <= _NAMED else f"{names[0]} to {names[-1]}"


def _entries(point: PointDiagnosis) -> Iterator[Entry]:
    rows: dict[str, list[LayerRow]] = {}
    owner: dict[str, str] = {}
    for row in point.layers:
        rows.setdefault(row.layer, []).append(row)
        owner[row.layer] = row.layer
    owner |= {name: row.layer for row in point.layers for name in row.covers if name not in rows}
    parameters, codes = _by_layer(point.parameters, owner), _by_layer(point.codes, owner)
    for layer, found in rows.items():
        yield _entry(point, layer, tuple(found), parameters.get(layer, ()), codes.get(layer, ()))


def _by_layer(items: Sequence[_Row], owner: dict[str, str]) -> dict[str, tuple[_Row, ...]]:
    """What is known of a tensor, by the layer that it belongs to: "conv.weight" is of conv."""
    found: dict[str, list[_Row]] = {}
    for item in items:
        layer = _owner(item.tensor, owner)
        if layer is not None:
            found.setdefault(layer, []).append(item)
    return {layer: tuple(items) for layer, items in found.items()}


def _owner(tensor: str, owner: dict[str, str]) -> str | None:
    """The layer with the longest name that a tensor's name begins with."""
    name = tensor
    while name not in owner:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return owner[name]


def _entry(
    point: PointDiagnosis,
    layer: str,
    rows: tuple[LayerRow, ...],
    parameters: tuple[ParameterRow, ...],
    codes: tuple[CodeRow, ...],
) -> Entry:
    is_first = point.first is not None and point.first.layer == layer
    # Of the first difference it is told how far that value is apart, as at the beginning of the page.
    told = [row for row in rows if not is_first or point.first is None or row.value == point.first.value]
    statuses = {row.status for row in rows}
    alike = all(row.status == "same" for row in parameters) and not any(row.different for row in codes)
    state: State = "differs"
    if is_first:
        state = "first"
    elif statuses <= {"exact", "close"} and alike:
        state = "equal" if statuses == {"exact"} else "close"
    own = next((row for row in parameters if row.tensor == layer), None)
    weight = next((row for row in parameters if row.tensor.endswith(".weight")), None)
    return Entry(
        layer=layer,
        op=rows[0].op,
        state=state,
        status=max((row.status for row in rows), key=_WORSE.index),
        left=_told(None if own is None else own.left, None if weight is None else weight.left, known=bool(parameters)),
        right=_told(
            None if own is None else own.right, None if weight is None else weight.right, known=bool(parameters)
        ),
        apart=_apart(told) or _settings_apart(parameters),
        rows=rows,
        parameters=parameters,
        codes=codes,
    )


def _told(own: Parameters | None, weight: Parameters | None, *, known: bool) -> str:
    """How one program quantizes a layer, in a few words: "int8, scale 0.0079, zero point -15"."""
    if own is not None:
        return in_brief(own)
    if weight is not None:
        return f"weight {weight.dtype or 'quantized'}"
    return FLOAT if known else ""


def in_brief(given: Parameters) -> str:
    """One program's parameters of a tensor, as short as they go."""
    scales = [value for value in (given.scale_min, given.scale_max) if value is not None]
    scale = "…".join(dict.fromkeys(map(number, scales)))
    zero = "" if given.zero_point_min is None else f"zero point {number(given.zero_point_min)}"
    return ", ".join(part for part in (given.dtype or "quantized", f"scale {scale}" if scale else "", zero) if part)


def _settings_apart(parameters: Sequence[ParameterRow]) -> str:
    """Which parameters of which tensors differ: "scale of conv.weight"."""
    told = [f"{listed(row.differing)} of {row.tensor}" for row in parameters if row.differing]
    return ", ".join(told)


def _apart(rows: Sequence[LayerRow]) -> str:
    """How far the values of a layer are apart at most, in steps where it has some."""
    steps = [row.max_steps for row in rows if row.max_steps]
    if steps:
        return steps_in_words(max(steps))
    values = [row.max_abs for row in rows if row.max_abs]
    return number(max(values)) if values else ""
