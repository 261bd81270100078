"""The YAML that would declare what became of a case, as far as the facts go."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from qatrix.claims import LEAVES_NO_TRACE
from qatrix.outcomes import UNREMARKABLE, Environment, PipelineOutcome, Record
from qatrix.report.again import glob_of
from qatrix.text import one_line, visible

_NO_CAUSE: Final = "say why: which function of which file does what, and what the other pipeline does instead"
# A part of a message is enough to know an error by, and its end often holds addresses and sizes.
_MESSAGE: Final = 80
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)")


def expectation_yaml(record: Record, environment: Environment) -> str | None:
    """An entry for `expected:` that covers the case; None where nothing needs to be declared."""
    if not needs_declaring(record):
        return None
    return "expected:\n" + "\n".join(
        f"  {'  ' if place else '- '}{line}" for place, line in enumerate(_entry(record, environment))
    )


def declaring_hint(record: Record) -> str:
    """Where the entry goes: the first that fits a case counts."""
    if record.expected is None:
        return "Once you know why, add this entry to a file of the matrix, such as one in expected/."
    return f"Once you know why, put this entry before the one at {record.expected.source}, or change that one."


def needs_declaring(record: Record) -> bool:
    """Whether the case ended in a way that is unexpected unless an entry covers it."""
    return record.verdict not in UNREMARKABLE or bool(record.traces)


def _entry(record: Record, environment: Environment) -> Iterator[str]:
    yield f"cases: {_quoted(glob_of(record.case_id))}"
    yield f"verdict: {record.verdict}"
    yield from _failure(record)
    checks = sorted(_checks(record))
    if checks:
        yield f"checks: [{', '.join(map(_quoted, checks))}]"
    release = _RELEASE.match(environment.packages.get("torch") or "")
    if release is not None:
        yield f'torch: ">={release[1]}.{release[2]}"'
    yield f"because: {_quoted(_cause(record))}"


def _failure(record: Record) -> Iterator[str]:
    """What tells this failure from others: its pipeline, stage, error and message, where all that failed agree."""
    culprits = [outcome for outcome in record.pipelines.values() if _is_culprit(record, outcome)]
    if len(culprits) == 1:
        yield f"pipeline: {_quoted(culprits[0].pipeline)}"
    stages = {outcome.failed_stage for outcome in culprits}
    if len(stages) == 1 and (stage := stages.pop()) is not None:
        yield f"stage: {stage if stage.isidentifier() else _quoted(stage)}"
    errors = {outcome.error for outcome in culprits}
    error = errors.pop() if len(errors) == 1 else None
    if error is not None:
        yield f"error: {_quoted(error.type.rpartition('.')[2])}"
        part = _part(error.message)
        if part:
            yield f"message: {_quoted(part)}"


def _is_culprit(record: Record, outcome: PipelineOutcome) -> bool:
    if record.verdict == "unquantized":
        return outcome.status == "ok" and not outcome.quantize_ops and not outcome.fake_quantizes
    return record.verdict == "failed" and outcome.status == "failed"


def _checks(record: Record) -> set[str]:
    ran = {outcome.pipeline for outcome in record.pipelines.values() if outcome.status == "ok"}
    failed = {
        check.name
        for check in record.checks
        # What was not checked on a pipeline that ran counts as a failure, because nothing vouches for it.
        if check.status == "failed" or (check.status == "not_run" and check.pipeline in ran)
    }
    return failed | ({LEAVES_NO_TRACE} if record.traces else set())


def _part(message: str) -> str:
    """The beginning of a message's first line, as it stands there."""
    line = message.strip().partition("\n")[0][:_MESSAGE].strip()
    return line if one_line(line) == line else ""


def _cause(record: Record) -> str:
    causes = record.diagnosis.causes if record.diagnosis is not None else ()
    known = [cause.sentence for cause in causes if cause.kind != "unexplained"]
    return "; ".join(dict.fromkeys(known[:1])) or _NO_CAUSE


def _quoted(text: str) -> str:
    """The text as YAML in double quotes, which takes the escapes of JSON."""
    return json.dumps(visible(text), ensure_ascii=False)
