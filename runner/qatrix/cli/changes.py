"""What a run has found that the run before it had not, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qatrix.cli.newest import STORE
from qatrix.errors import StoreError
from qatrix.report.vocabulary import VERDICTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qatrix.console import Console
    from qatrix.outcomes import Record

# More are in the report.
_TOLD: Final = 12


@dataclass(frozen=True, kw_only=True)
class Changes:
    """Of the cases of two runs those that are only in the later, only in the earlier, or have another outcome."""

    new: tuple[Record, ...]
    gone: tuple[str, ...]
    changed: tuple[tuple[Record, Record], ...]

    def lines(self) -> list[str]:
        """A line for each case, the unexpected ones first."""
        pairs = sorted(self.changed, key=lambda pair: not pair[1].unexpected)
        told = [f"{_outcome(before)} → {_outcome(after)}: {after.case_id}" for before, after in pairs]
        told += [f"new, {_outcome(record)}: {record.case_id}" for record in self.new]
        told += [f"gone: {case_id}" for case_id in self.gone]
        return told if len(told) <= _TOLD else [*told[:_TOLD], f"and {len(told) - _TOLD} more, which the report has"]


def changes(before: Sequence[Record], after: Sequence[Record]) -> Changes:
    """What has changed from one run to the next: verdicts, whether they are expected, the numbers in a summary."""
    earlier: Mapping[str, Record] = {record.case_id: record for record in before}
    later = {record.case_id for record in after}
    known = [(earlier[record.case_id], record) for record in after if record.case_id in earlier]
    return Changes(
        new=tuple(record for record in after if record.case_id not in earlier),
        gone=tuple(case_id for case_id in earlier if case_id not in later),
        changed=tuple(pair for pair in known if _told(pair[0]) != _told(pair[1])),
    )


def records_of(run: Path | None) -> tuple[Record, ...] | None:
    """The records of a run, None where there is none that can be read."""
    from qatrix.report.store import Store

    if run is None:
        return None
    try:
        with Store.reading(run / STORE) as store:
            return store.records()
    except StoreError:
        return None


def tell(console: Console, before: Sequence[Record], after: Sequence[Record]) -> None:
    """Print what has changed, how many cases ran, and how many are unexpected."""
    from qatrix.report.figures import counted

    found = changes(before, after)
    ran = sum(record.reused_from is None for record in after)
    unexpected = sum(record.unexpected for record in after)
    for line in found.lines():
        console.line(f"  {line}")
    numbers = {"changed": len(found.changed), "new": len(found.new), "gone": len(found.gone)}
    differences = ", ".join(f"{count} {word}" for word, count in numbers.items() if count) or "nothing changed"
    cases = f"{counted(ran, 'case')} ran, {len(after) - ran} not again"
    style = "bold red" if unexpected else "bold green"
    console.line(f"{cases}: {differences}; {unexpected or 'nothing'} unexpected", style=style)


def _outcome(record: Record) -> str:
    return f"{VERDICTS[record.verdict].word}{', unexpected' if record.unexpected else ''}"


def _told(record: Record) -> tuple[str, bool, str]:
    return record.verdict, record.unexpected, record.summary
