"""The run as JUnit XML, in the dialect that CI systems read."""

from __future__ import annotations

import math
import shlex
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from qatrix.expressions import Value
from qatrix.outcomes import LOWERED, NOT_RUN, Record
from qatrix.report.explanation import explanation_lines
from qatrix.report.figures import axis_value, clipped, clipped_head
from qatrix.report.frames import ReportData
from qatrix.report.lowered import LoweredModel, lowered_lines, lowered_models
from qatrix.report.sentences import case_lines
from qatrix.report.vocabulary import VERDICTS
from qatrix.text import printed

# Nothing was compared in these, so they are errors rather than failures.
_ERRORS = frozenset({"failed", "crashed", "timed_out", "invalid"})
_LIMIT = 4000


def junit_xml(data: ReportData) -> str:
    """The run as text, one test suite per suite and one test case per case.

    What is unexpected is a failure, or an error where nothing could be compared; what was
    expected to differ passes, and its output says so. A case without a verdict is an error.
    """
    return "".join(junit_pieces(data))


def junit_pieces(data: ReportData) -> Iterator[str]:
    """The text of `junit_xml`, a case at a time: the tree of a large run takes as much room as its records.

    All texts go through `printed`, which spells out what XML 1.0 cannot hold even escaped.
    """
    order = {item.suite: place for place, item in enumerate(data.suites)}
    ordered = sorted(data.records, key=lambda record: order[record.suite])
    groups = [(suite, list(group)) for suite, group in groupby(ordered, key=lambda record: record.suite)]
    heads = [_suite(data, suite, records) for suite, records in groups]
    unfinished = [_unfinished(data)] if data.unfinished else []
    root = ET.Element("testsuites", name="qatrix")
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(head.get(name, "0")) for head in (*heads, *unfinished))))
    root.set("time", _seconds(data.run.seconds))
    yield f'<?xml version="1.0" encoding="utf-8"?>\n{_opened(root)}'
    for head, (_, records) in zip(heads, groups):
        yield f"\n  {_opened(head)}"
        for record in records:
            yield f"\n    {_text(_case(record), level=2)}"
        yield "\n  </testsuite>"
    yield from (f"\n  {_text(element, level=1)}" for element in unfinished)
    yield "\n</testsuites>\n"


def _text(element: ET.Element, *, level: int) -> str:
    ET.indent(element, level=level)
    return ET.tostring(element, encoding="unicode")


def _opened(element: ET.Element) -> str:
    """The element, whose end is still to come."""
    ET.indent(element, level=1)
    text = ET.tostring(element, encoding="unicode", short_empty_elements=False)
    return text.removesuffix(f"</{element.tag}>").rstrip()


def _suite(data: ReportData, suite: str, records: Sequence[Record]) -> ET.Element:
    """A test suite without its cases."""
    element = ET.Element("testsuite", name=printed(suite), tests=str(len(records)))
    properties = ET.SubElement(element, "properties")
    for name, value in _environment(data):
        ET.SubElement(properties, "property", name=printed(name), value=printed(value))
    tags = Counter(map(_tag, records))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(tags[tag]))
    element.set("time", _seconds(sum(record.seconds for record in records)))
    element.set("timestamp", printed(data.run.started[:19]))
    return element


def _tag(record: Record) -> str | None:
    """What a case that does not pass holds."""
    if record.unexpected:
        return "error" if record.verdict in _ERRORS else "failure"
    return "skipped" if record.verdict in NOT_RUN else None


def _environment(data: ReportData) -> list[tuple[str, str]]:
    environment = data.run.environment
    packages = [(name, version or "not installed") for name, version in environment.packages.items()]
    return [("python", environment.python), ("platform", environment.platform), *packages]


def _case(record: Record) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=printed(record.suite),
        name=printed(record.case_id),
        time=_seconds(record.seconds),
        # GitLab and others lead from a failure to this file.
        file=printed(record.source.file),
    )
    properties = ET.SubElement(case, "properties")
    facts: dict[str, Value] = {**record.axes, "verdict": record.verdict, "source": str(record.source)}
    if record.reused_from is not None:
        facts["reused_from"] = record.reused_from
    for model in lowered_models(record):
        facts |= _runtime(model)
    for name, value in facts.items():
        ET.SubElement(properties, "property", name=printed(name), value=printed(axis_value(value)))
    text = "\n".join(case_lines(record))
    if record.unexpected:
        message = clipped(record.unexpected_because or record.summary, _LIMIT)
        fault = ET.SubElement(
            case, _tag(record) or "failure", type=record.verdict, message=printed(f"{record.summary}: {message}")
        )
        told = [
            text,
            *_explained(record),
            f"run it alone: qatrix run --case {shlex.quote(record.case_id)}",
            _tracebacks(record),
        ]
        fault.text = printed("\n".join(told).strip())
    elif record.verdict in NOT_RUN:
        ET.SubElement(case, "skipped", message=printed(record.reason or record.summary))
    elif record.expected is not None:
        word = VERDICTS[record.verdict].word
        output = ET.SubElement(case, "system-out")
        output.text = printed(f"{word} as expected: {record.expected.because}\n{text}")
    return case


def _runtime(model: LoweredModel) -> dict[str, Value]:
    """Where a pipeline's model ran, how near it was to the float model there, and how far off its reference."""
    name = model.outcome.pipeline
    figures = {"sqnr_db": model.lowering.sqnr_db, "steps": None if model.off is None else model.off.max_steps}
    measured = {f"{name}_{LOWERED}_{fact}": value for fact, value in figures.items() if value is not None}
    return {f"{name}_runtime": model.runtime, f"{name}_{LOWERED}_runs_in": model.runs_in, **measured}


def _explained(record: Record) -> list[str]:
    """Where the pipelines part, or runtimes leave their references, and why, in lines."""
    lines = [] if record.diagnosis is None else [*explanation_lines(record.diagnosis)]
    lines += [f"{model.deployed}: {line}" for model in lowered_models(record) for line in lowered_lines(model)]
    return [clipped(line, _LIMIT) for line in lines]


def _tracebacks(record: Record) -> str:
    outcomes = (outcome.error for outcome in record.pipelines.values())
    errors = [error for error in (record.error, *outcomes) if error is not None]
    return "\n".join(clipped_head(error.traceback, _LIMIT) for error in errors)


def _unfinished(data: ReportData) -> ET.Element:
    count = str(len(data.unfinished))
    suite = ET.Element(
        "testsuite",
        {"name": "unfinished", "tests": count, "failures": "0", "errors": count, "skipped": "0", "time": "0.000"},
        timestamp=printed(data.run.started[:19]),
    )
    for case_id in data.unfinished:
        case = ET.SubElement(suite, "testcase", classname="unfinished", name=printed(case_id), time="0.000")
        word = "it was running" if case_id in data.in_flight else "it had not started"
        ET.SubElement(case, "error", type="unfinished", message=f"no verdict: the run was interrupted, {word}")
    return suite


def _seconds(value: float) -> str:
    return f"{value if math.isfinite(value) else 0.0:.3f}"
