"""Statements of a diagnosis that its own tables contradict."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from qatrix.diagnoses import Cause, Diagnosis, GraphText, ParameterRow, Parameters, PointDiagnosis
from qatrix.report.explanation import explanation_lines, explanation_tables

_SINGLE = re.compile(r"(?<![\d.])1 (?:quantization )?(?:steps|nodes|codes|layers|channels|times|calls)\b")
_NOT_QUANTIZED = re.compile(r"(?P<who>\S+) does not quantize (?P<parts>.+) of (?P<layer>\S+) \(\S+\), but ")
_CONSTANT = re.compile(r"(\w+) = constant (\S+)")
_IN_FLOAT = re.compile(r"(?P<who>\S+) leaves (?P<layer>\S+) \(\S+\) in float, but ")


def contradictions(diagnosis: Diagnosis) -> tuple[str, ...]:
    """What is said and is not so, in words; empty where all statements agree with the tables."""
    return tuple(_found(diagnosis))


def _found(diagnosis: Diagnosis) -> Iterator[str]:
    for line in explanation_lines(diagnosis):
        if _SINGLE.search(line):
            yield f"one of several: {line}"
        if re.search(r"are 0 apart", line):
            yield f"differs by nothing: {line}"
    for cause in diagnosis.causes:
        yield from _quantized_all_the_same(diagnosis, cause)
        yield from _equal_evidence(cause)
    yield from _equal_cells(diagnosis)
    yield from _idle_and_nearer(diagnosis)
    yield from _apart_and_agreeing(diagnosis)
    yield from _other_figures(diagnosis)
    yield from _of_other_layers(diagnosis)


def _quantized_all_the_same(diagnosis: Diagnosis, cause: Cause) -> Iterator[str]:
    """A layer that is told to be in float, or a part of it, and that the tables show quantized."""
    whole, part = _IN_FLOAT.fullmatch(_head(cause)), _NOT_QUANTIZED.match(cause.sentence)
    if whole is not None:
        layer = whole["layer"]
        tensors = {layer, f"{layer}.weight", f"{layer}.input"}
    elif part is not None:
        tensors = set(_tensors(part["layer"], part["parts"]))
    else:
        return
    at = next(
        (point for point in ("prepare", "convert") if any(f" at {point} " in said for said in cause.evidence)), ""
    )
    for tensor, _, side in _sides(diagnosis, (whole or part)["who"], at):  # type: ignore[index]  # one of both is there
        if tensor in tensors and side is not None:
            yield f"{tensor} is quantized at {at} ({side.node}): {cause.sentence}"


def _head(cause: Cause) -> str:
    return cause.sentence.partition("but ")[0] + "but "


def _tensors(layer: str, parts: str) -> Iterator[str]:
    for part in re.split(r", | and ", parts):
        word = part.removeprefix("the ")
        if word == "output":
            yield layer
        elif word.startswith("input "):
            yield word.removeprefix("input ")
        else:
            yield f"{layer}.{word}"


def _sides(diagnosis: Diagnosis, who: str, at: str) -> Iterator[tuple[str, ParameterRow, Parameters | None]]:
    for point in diagnosis.points:
        for row in point.parameters if at in ("", point.at) else ():
            yield row.tensor, row, row.left if who == diagnosis.left else row.right


def _equal_evidence(cause: Cause) -> Iterator[str]:
    """Values that are said to differ, and are written alike."""
    for said in cause.evidence:
        sides = re.fullmatch(r"\w+ at \w+: \S+ (.+), \S+ (.+)", said)
        if cause.name == "different_specification" and sides is not None and sides[1] == sides[2]:
            yield f"equal values: {said}"
    if cause.name == "shared_parameters":
        told = [re.sub(r".*(?=scale )", "", said) for said in cause.evidence[:2]]
        if told[0] == told[1]:
            yield f"equal parameters: {cause.evidence[0]}"


def _equal_cells(diagnosis: Diagnosis) -> Iterator[str]:
    """Rows that are said to differ, and whose sides are written alike."""
    for table in explanation_tables(diagnosis):
        for row in table.rows if table.title.startswith("Quantization") else ():
            if row[2].text and row[3].text == row[4].text:
                yield f"{table.title}: {row[0].text} differs in {row[2].text}, with {row[3].text} on both sides"


def _idle_and_nearer(diagnosis: Diagnosis) -> Iterator[str]:
    """A pipeline that quantizes nothing and is called the nearer one, where the other quantizes."""
    for point in diagnosis.points:
        last = diagnosis.nearer if point is diagnosis.points[-1] else None
        for nearer in {point.nearer, last} - {None}:
            sides = [side for _, _, side in _sides(diagnosis, str(nearer), point.at)]
            if sides and all(side is None for side in sides):
                yield f"{nearer} quantizes nothing at {point.at} and is called the nearer one"


def _apart_and_agreeing(diagnosis: Diagnosis) -> Iterator[str]:
    """A layer that differs though all that it reads agrees, where nothing is told to differ."""
    for point in diagnosis.points:
        for row in point.layers if point.first is None else ():
            if row.status in {"diverged", "mismatched"} and row.inputs_agree:
                yield f"{row.layer} at {point.at} is {row.status}, and the pipelines are said to part nowhere there"


def _other_figures(diagnosis: Diagnosis) -> Iterator[str]:
    """Decibels that are told of the output, and are others in the table."""
    last = diagnosis.points[-1] if diagnosis.points else None
    output = (diagnosis.nearer_because or "").partition("; at ")[0]
    for who, told in re.findall(r"(\w+) SQNR (-?\d+\.\d) dB", output) if last is not None else ():
        known = last.sqnr_db.get(who) if last is not None else None
        if known is None or f"{known:.1f}" != told:
            yield f"{who} is told to have an SQNR of {told} dB, and has {known} dB"


def _of_other_layers(diagnosis: Diagnosis) -> Iterator[str]:
    """A node that stands for a layer in the table, and reads the parameters of another layer of the table."""
    for point in diagnosis.points:
        layers = {row.layer for row in point.layers} | {name for row in point.layers for name in row.covers}
        for graph in point.graphs:
            constants = {found[1]: found[2] for line in graph.lines if (found := _CONSTANT.fullmatch(line.text))}
            for name, layer, read in _readers(point, graph, constants):
                if read & layers and layer.partition("@")[0] not in read:
                    yield f"{name} of {graph.pipeline} at {point.at} is {layer}, and reads what {min(read)} has"


def _readers(
    point: PointDiagnosis, graph: GraphText, constants: Mapping[str, str]
) -> Iterator[tuple[str, str, set[str]]]:
    """The nodes of the table by name, with their layers and the modules whose parameters they read."""
    shown = {label for row in point.layers for label in (row.left_node, row.right_node)}
    for line in graph.lines:
        name, _, call = line.text.partition(" = ")
        if line.layer is not None and any(str(label).endswith((f"({name})", name)) for label in shown):
            read = {constants[word].rpartition(".")[0] for word in re.findall(r"\w+", call) if word in constants}
            yield name, line.layer, read - {""}
