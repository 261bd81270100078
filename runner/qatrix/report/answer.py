"""What a person who tried one model is told: the verdict, where and why the pipelines part, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from qatrix.claims import SQNR_OF_BITS, Expectation, Verdict
from qatrix.outcomes import PipelineOutcome, Record
from qatrix.report.explanation import explanation_lines, tells_more
from qatrix.report.figures import counted, decibels
from qatrix.report.lowered import lowered_line, lowered_models
from qatrix.report.vocabulary import VERDICTS

# Causes that are told; a network of a hundred layers may have one for each.
_CAUSES: Final = 5
# What to do, by verdict; where the pipelines part, whoever is nearer to the float model is named instead.
_TO_DO: Final[Mapping[Verdict, str]] = {
    "exact": "Either pipeline will do. Run this again when you change torch, torchao or the model.",
    "close": "Either pipeline will do. Run this again when you change torch, torchao or the model.",
    "checked": "It passed every check. Run this again when you change torch, torchao or the model.",
    "check_failed": "Look at the failed check first: both pipelines can agree and be wrong.",
    "diverged": "Look at the first layer that differs, in the report.",
    "unquantized": "Choose a quantizer that quantizes these layers, or plan with their speed in float.",
    "failed": "Take the script in the report to whoever keeps the pipeline: it shows the error with PyTorch alone.",
    "invalid": "Mend the model, its weights or its inputs first: the float model cannot run as declared.",
    "unavailable": "Install what is missing, or choose another quantizer.",
    "timed_out": "Give it more time with --timeout, or a smaller input.",
    "crashed": "See in the report what the process printed at last. If memory ran out, make the input smaller.",
    "skipped": "Choose a device that is here.",
}


def answer_lines(record: Record, known: Expectation | None) -> tuple[str, ...]:
    """All that matters of one record, a line each; `known` is the cause, if it is known already."""
    return tuple(_lines(record, known))


def _lines(record: Record, known: Expectation | None) -> Iterator[str]:
    words = VERDICTS[record.verdict]
    yield f"{words.glyph} {words.word}: {record.axes['pattern']} with {record.axes['quantizer']}"
    yield record.summary
    figures = [_quality(outcome) for outcome in record.pipelines.values() if outcome.sqnr_db is not None]
    if figures:
        yield f"Quality against the float model (SQNR): {', '.join(figures)}."
    yield from (f"In the runtime, {lowered_line(model)}." for model in lowered_models(record))
    if record.diagnosis is not None:
        causes = sorted(record.diagnosis.causes, key=lambda cause: not cause.explains_first)
        yield from explanation_lines(replace(record.diagnosis, causes=tuple(causes[:_CAUSES])))
        if len(causes) > _CAUSES:
            yield f"{counted(len(causes) - _CAUSES, 'more cause')} in the report."
    if known is not None:
        link = "" if known.link is None else f" ({known.link})"
        yield f"Known finding: {known.title}{link}."
        yield from (f"  {part}" for part in (known.sentence or "", known.because.strip()) if part)
    elif record.verdict == "failed":
        yield "No known finding raises this error."
    advice = None if known is None else known.advice
    yield f"What to do: {advice or _to_do(record)}"


def _quality(outcome: PipelineOutcome) -> str:
    """One pipeline's decibels, and those of what varies where an offset of all outputs hides noise."""
    told = f"{outcome.pipeline} {decibels(outcome.sqnr_db)} dB"
    if not tells_more(outcome.sqnr_db, outcome.variation_db):
        return told
    return f"{told} ({decibels(outcome.variation_db)} dB of what varies from sample to sample)"


def _to_do(record: Record) -> str:
    diagnosis = record.diagnosis
    if record.verdict == "failed":
        wrong = {check.pipeline for check in record.checks if check.status == "failed"}
        ran = [name for name, outcome in record.pipelines.items() if outcome.status == "ok" and name not in wrong]
        prefer = f"Prefer {' or '.join(ran)}, which runs this model and passes its checks. " if ran else ""
        return f"{prefer}{_TO_DO['failed']}"
    if record.verdict != "diverged" or diagnosis is None:
        return _TO_DO[record.verdict]
    lossy = {check.pipeline for check in record.checks if check.name == SQNR_OF_BITS and check.status == "failed"}
    if lossy >= {diagnosis.left, diagnosis.right}:
        return "Neither keeps enough of the float model: calibrate with more of your data, or leave layers in float."
    if diagnosis.nearer is not None:
        return f"Prefer {diagnosis.nearer}, which is nearer to the float model, or mend what the other does."
    if diagnosis.nearer_because is not None:
        return "As far as the float model can tell, either pipeline will do; the cause says what differs."
    return _TO_DO[record.verdict]
