"""Scripts of cases, made where what their declarations compute has bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qatrix.errors import UsageError
from qatrix.execute.bounded import Bounded, Bounds, Computed
from qatrix.outcomes import Environment, Record

if TYPE_CHECKING:
    from qatrix.declare.spec import Case


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A case with its record, where that was made, and what is to be said of it in the script."""

    case: Case
    record: Record
    environment: Environment
    notes: tuple[str, ...] = ()
    checked: str | None = None


def script_of(subject: Subject) -> str:
    """The script; to be called where a declaration that computes without end does no harm."""
    from qatrix.declare.source import case_source
    from qatrix.report.repro import own_names, script_text

    return script_text(
        case_source(subject.case, taken=own_names()),
        environment=subject.environment,
        record=subject.record,
        checked=subject.checked,
        notes=subject.notes,
    )


def made_scripts(
    subjects: Iterable[Subject], *, bounds: Bounds | None = None, write: Callable[[Subject], str] = script_of
) -> Iterator[tuple[str, Computed]]:
    """The id of each case, in the given order, and its script or why there is none."""
    # No script shows a diagnosis, and it is most of a record.
    light = [replace(subject, record=replace(subject.record, diagnosis=None)) for subject in subjects]
    if not light:
        return
    with Bounded(bounds) as process:
        futures = [(subject.case.case_id, process.schedule(write, subject)) for subject in light]
        for case_id, future in futures:
            yield case_id, process.result(future)


def script_or_refusal(subject: Subject) -> str:
    """One script. Raises UsageError with the reason where none can be made."""
    ((case_id, made),) = made_scripts([subject])
    if made.text is None:
        msg = f"{case_id} cannot be written as a script: {made.reason}"
        raise UsageError(msg)
    return made.text
