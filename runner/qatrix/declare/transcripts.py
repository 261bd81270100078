"""A graph that was made, as the check that it makes: a YAML file to keep."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from qatrix.claims import CheckPoint, Transcript
from qatrix.declare.schema.values import NAME_PATTERN
from qatrix.declare.spec import Case
from qatrix.declare.yamltext import written
from qatrix.errors import UsageError
from qatrix.text import one_line

_WIDTH: Final = 110


def check_name(case: Case, pipeline: str, at: CheckPoint) -> str:
    """What the check of a case's graph is called unless told otherwise."""
    return f"{case.suite}_{case.pattern.name}_{pipeline}_{at}"


def demand_name(name: str) -> None:
    """Raises UsageError where a check cannot have that name."""
    if not re.fullmatch(NAME_PATTERN, name):
        msg = f"--name: '{name}' is no name; expected letters, digits and _, a letter first"
        raise UsageError(msg)


def check_text(
    transcript: Transcript, case: Case, *, name: str, pipeline: str, at: CheckPoint, origin: Iterable[str]
) -> str:
    """A YAML file with the check; `origin` says in comments where it comes from."""
    return "\n".join([*_lines(transcript, case, name, pipeline, at, origin), ""])


def _lines(
    transcript: Transcript, case: Case, name: str, pipeline: str, at: CheckPoint, origin: Iterable[str]
) -> Iterator[str]:
    yield from (f"# {one_line(line)}" for line in origin)
    yield f"# Suite {case.suite} makes this check on that case by:"
    yield "#   checks:"
    yield f"#     - {written({'check': name, 'where': dict(case.axes)})}"
    yield "checks:"
    yield f"  {name}:"
    yield f"    about: {written(f'the graph of {case.case_id} after {at} is as it was')}"
    yield f"    at: {at}"
    yield f"    pipelines: [{pipeline}]"
    yield from _wrapped(f"    counts: {written(transcript.counts)}")
    yield from _wrapped(f"    order: {written(transcript.order)}")
    yield "    graph:"
    yield from (f"      - {written(line)}" for line in transcript.graph)


def _wrapped(line: str) -> Iterator[str]:
    """A list or a mapping on as many lines as it takes; its parts have spaces between them alone."""
    yield from textwrap.wrap(line, _WIDTH, subsequent_indent=" " * 6, break_long_words=False, break_on_hyphens=False)
