"""What a test that fails tells, as text: a record, why it is unexpected, what is wrong with declarations."""

from __future__ import annotations

import io
from collections.abc import Sequence

from qatrix.errors import Problem
from qatrix.outcomes import Record


def record_text(record: Record) -> str:
    """All that is known of one case, as `qatrix show` prints it."""
    from qatrix.cli.documents import tell_record
    from qatrix.console import Console

    told = io.StringIO()
    tell_record(Console(out=told, err=told), record)
    return told.getvalue().rstrip()


def answer_text(record: Record, *more: str) -> str:
    """What matters of one case and what to do, as `qatrix try` prints it; `more` are lines behind it."""
    from qatrix.report.answer import answer_lines

    title, *lines = answer_lines(record, None)
    because = [] if record.unexpected_because is None else [f"not expected: {record.unexpected_because}"]
    return "\n".join([title, *(f"  {line}" for line in (*because, *lines, *more))])


def problems_text(problems: Sequence[Problem]) -> str:
    """Every fault with its place, what was expected and a hint, as `qatrix check` prints them."""
    from qatrix.console import Console

    told = io.StringIO()
    console = Console(out=told, err=told)
    for problem in problems:
        console.problem(problem)
    return told.getvalue().rstrip()
