"""Why the later of two runs has other results: what its diagnoses and checks say that the earlier's did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.outcomes import Record
from qatrix.report.compare.data import Row
from qatrix.report.figures import counted

_MOST: Final = 5
_UNEXPLAINED: Final = "unexplained"


def cause_lines(rows: Sequence[Row]) -> tuple[str, ...]:
    """What is new in the last run and was not in the one before, the commonest first, each with how many cases have it.

    Where a case has no new cause, it is what its checks found first.
    """
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for row in rows:
        before, after = row.records[-2:]
        for headline, example in _new(before, after):
            counts[headline] += 1
            examples.setdefault(headline, example)
    return tuple(f"{counted(count, 'case')}: {line}{examples[line]}" for line, count in counts.most_common(_MOST))


def _new(before: Record | None, after: Record | None) -> Iterator[tuple[str, str]]:
    """Sentences that hold for many cases alike, each with what this one adds to it."""
    if before is None or after is None:
        return
    causes = [sentence for sentence in _causes(after) if sentence not in _causes(before)]
    if causes:
        yield from ((sentence, "") for sentence in causes)
        return
    failed = _failed(before)
    for (check, pipeline), message in _failed(after).items():
        if (check, pipeline) not in failed:
            yield f"{check} fails on {pipeline} now", f", for example: {message.partition('; ')[0]}" if message else ""


def _causes(record: Record) -> tuple[str, ...]:
    known = () if record.diagnosis is None else record.diagnosis.causes
    return tuple(dict.fromkeys(item.sentence for item in known if item.explains_first and item.kind != _UNEXPLAINED))


def _failed(record: Record) -> dict[tuple[str, str], str]:
    failed = (check for check in record.checks if check.status == "failed")
    return {(check.name, check.pipeline): check.message or "" for check in failed}
