"""The findings as data: what pages, scripts and the site are made from, written as JSON and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from qatrix.codec import CodecError, loads, to_jsonable
from qatrix.errors import UsageError
from qatrix.report.causes import CauseFacts, is_key
from qatrix.report.findings.components import components
from qatrix.report.findings.data import Finding, Findings, FindingsRun
from qatrix.report.findings.names import file_names
from qatrix.report.vocabulary import VERDICTS
from qatrix.text import printed_json

# Of the JSON; raised when a field gets another meaning.
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run that the findings are from; `torchao` and `executorch` are versions, None where they are not installed."""

    release: str
    cases: int
    torchao: str | None = None
    executorch: str | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """The case that shows a finding with the shortest script, and what it gave."""

    case_id: str
    summary: str


@dataclass(frozen=True, kw_only=True)
class FindingFacts(CauseFacts):
    """One cause by its `key`; `name` is that of its page and its script, and no other finding has either.

    `counts` and `ran` are as in `data.Finding`, in the order of the document's runs. `script` has
    the lines of the script, so that a change of one line changes one line of the JSON.
    """

    name: str
    components: tuple[str, ...]
    suites: Mapping[str, int]
    counts: tuple[int, ...]
    ran: tuple[int, ...]
    example: Example
    script: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FindingsDocument:
    """The findings, those with most cases first, and the runs that show them."""

    runs: tuple[RunFacts, ...]
    findings: tuple[FindingFacts, ...]
    format: int = FORMAT

    def by_release(self, numbers: tuple[int, ...]) -> Mapping[str, int]:
        """What each run has, added up by its release."""
        sums: dict[str, int] = {}
        for run, value in zip(self.runs, numbers):
            sums[run.release] = sums.get(run.release, 0) + value
        return sums


def document(found: Findings) -> FindingsDocument:
    """The facts of the findings, without the records that they are from."""
    names = file_names(finding.cause.title for finding in found.found)
    return FindingsDocument(
        runs=tuple(map(_run, found.runs)),
        findings=tuple(_facts(name, finding) for name, finding in zip(names, found.found)),
    )


def as_json(told: FindingsDocument) -> str:
    """The document as text of many lines, in plain ASCII; equal for equal documents."""
    return printed_json(json.dumps(to_jsonable(told), allow_nan=False, indent=1)) + "\n"


def from_json(text: str) -> FindingsDocument:
    """The document that `as_json` wrote. Raises UsageError where the text is none."""
    try:
        told = loads(FindingsDocument, text)
    except CodecError as error:
        msg = f"these are not findings that `qatrix findings --out FILE.json` wrote: {error}"
        raise UsageError(msg) from error
    if told.format != FORMAT:
        msg = f"these findings have format {told.format}; this qatrix reads {FORMAT}"
        raise UsageError(msg)
    _check(told)
    return told


def _check(told: FindingsDocument) -> None:
    """Raises UsageError where the parts of a document do not fit together."""
    names = [facts.name for facts in told.findings]
    keys = [facts.key for facts in told.findings]
    if tuple(names) != file_names(names) or len(set(keys)) != len(keys) or not all(map(is_key, keys)):
        msg = "the names or keys of these findings are not unique, or not names of files"
        raise UsageError(msg)
    for facts in told.findings:
        unknown = sorted(set(facts.verdicts) - set(VERDICTS))
        if unknown:
            msg = f"the finding {facts.name} has an unknown verdict: {', '.join(unknown)}"
            raise UsageError(msg)
        if not len(facts.counts) == len(facts.ran) == len(told.runs):
            msg = f"the finding {facts.name} has {len(facts.counts)} counts, and there are {len(told.runs)} runs"
            raise UsageError(msg)


def _run(side: FindingsRun) -> RunFacts:
    packages = side.run.environment.packages
    return RunFacts(
        release=side.release,
        cases=len(side.records),
        torchao=packages.get("torchao"),
        executorch=packages.get("executorch"),
    )


def _facts(name: str, finding: Finding) -> FindingFacts:
    cause = finding.cause
    known = {item.name: getattr(cause, item.name) for item in fields(CauseFacts)}
    return FindingFacts(
        **{**known, "verdicts": dict(cause.verdicts)},
        name=name,
        components=components(cause),
        suites=dict(finding.suites),
        counts=finding.counts,
        ran=finding.ran,
        example=Example(case_id=cause.example.case_id, summary=cause.example.summary),
        script=None if finding.script is None else tuple(finding.script.strip().split("\n")),
    )
