"""Whether a record says what is wrong: in which pipeline, at which layer, with which quantity."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mutants.faults.fault import Quantity
from qatrix.diagnoses import Diagnosis
from qatrix.outcomes import CheckOutcome, Record

_VERDICTS: Final = frozenset({"failed", "unquantized", "diverged"})
# What a sentence says that names a quantity. What a layer computes goes by its value; what a batch norm does is seen
# in what it is folded into, where it is folded.
_VALUE: Final = r"value|comput"
_FOLDED: Final = r"weight|bias|fold|" + _VALUE
_WORDS: Final[Mapping[Quantity, str]] = {
    "scale": r"scale",
    "zero point": r"zero[ _]point",
    "range": r"range|quant_m(in|ax)|clamp|integers (from|to)",
    "axis": r"axis|channel|\bscales\b",
    "quantization": r"quantiz|float|observ",
    # Rounded down before it is quantized, a layer's own value is the one that is left in float.
    "rounding": r"round|codes?\b|integers|in float|" + _VALUE,
    "weight": r"weight",
    "bias": r"bias",
    "eps": r"\beps\b|" + _FOLDED,
    "momentum": r"momentum|statistics|running_",
    "statistics": r"statistics|running_|\bmean\b|varian|" + _FOLDED,
    "norm": r"norm|" + _FOLDED,
    "activation": r"relu|activation|" + _VALUE,
    "operands": r"operand|argument|reads|" + _VALUE,
    "geometry": r"stride|padding|dilation|pool|shape|" + _VALUE,
    "order": r"order|axes|axis|dims|" + _VALUE,
    "constant": r"constant|number|alpha|" + _VALUE,
    "output": r"output|return|" + _VALUE,
    "state": r"state|buffer|chang|call",
    "randomness": r"random|seed|dropout|draw|two different outputs",
}


@dataclass(frozen=True)
class Evidence:
    """A sentence of a record, and the pipeline that it is about."""

    pipeline: str
    text: str


def noticed(record: Record, before: Record) -> tuple[str, ...]:
    """What a record holds against a case that it did not without the fault: a verdict, and checks by name."""
    ran = [check.name for check in _failed(record, before)]
    verdict = [record.verdict] if record.verdict in _VERDICTS - {before.verdict} else []
    return (*verdict, *dict.fromkeys(ran))


def names(record: Record, before: Record, *, pipeline: str, layers: Collection[str], quantity: Quantity) -> bool:
    """Whether one sentence of the record names the pipeline, a layer, and the quantity."""
    return any(
        item.pipeline == pipeline
        and any(_mentions(item.text, layer) for layer in layers)
        and re.search(_WORDS[quantity], item.text, re.IGNORECASE) is not None
        for item in evidence(record, before)
    )


def evidence(record: Record, before: Record) -> Iterator[Evidence]:
    """All that a record says against a pipeline."""
    for check in _failed(record, before):
        for sentence in (check.message or "").split("; "):
            yield Evidence(check.pipeline, f"{check.name}: {sentence}")
    for outcome in record.pipelines.values():
        if outcome.status == "failed" and outcome.error is not None:
            yield Evidence(outcome.pipeline, f"{outcome.failed_stage}: {outcome.error.message}")
    if record.diagnosis is not None:
        yield from _of_diagnosis(record.diagnosis)


def _failed(record: Record, before: Record) -> list[CheckOutcome]:
    known = {(check.name, check.pipeline) for check in before.checks if check.status == "failed"}
    return [check for check in record.checks if check.status == "failed" and (check.name, check.pipeline) not in known]


def _of_diagnosis(diagnosis: Diagnosis) -> Iterator[Evidence]:
    for cause in diagnosis.causes:
        if cause.pipeline is not None:
            yield Evidence(cause.pipeline, " ".join((cause.name, cause.sentence, cause.layer or "", *cause.evidence)))
    for point in diagnosis.points:
        farther = _other(diagnosis, point.nearer or diagnosis.nearer)
        for row in point.parameters if farther is not None else ():
            if row.status != "same":
                yield Evidence(farther or "", f"{row.tensor}: {', '.join(row.differing) or 'quantized'}")
    if diagnosis.first is not None:
        at = next((point for point in diagnosis.points if point.at == diagnosis.first.at), None)
        for layer in at.layers if at is not None else ():
            farther = _other(diagnosis, layer.nearer)
            if farther is not None and (layer.layer, layer.value) == (diagnosis.first.layer, diagnosis.first.value):
                yield Evidence(farther, f"{layer.value} value of {layer.layer}: {diagnosis.first.sentence}")


def _other(diagnosis: Diagnosis, name: str | None) -> str | None:
    """The pipeline that is farther from the float model, where it is known which is nearer."""
    return {diagnosis.left: diagnosis.right, diagnosis.right: diagnosis.left}.get(name or "")


def _mentions(text: str, layer: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(layer)}(?!\w)", text) is not None
