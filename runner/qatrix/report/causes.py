"""Why cases differ: the causes of a run, those that its matrix declares and those that a diagnosis recognizes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from qatrix.claims import Impact
from qatrix.outcomes import NOT_RUN, UNREMARKABLE, Record
from qatrix.report.rules import failure

# A key made of a text is about as long as one that people write.
_KEY_LENGTH: Final = 48


@dataclass(frozen=True, kw_only=True)
class CauseName:
    """What a cause is called: in links, on its line, and how it hurts, None where nobody said."""

    key: str
    title: str
    impact: Impact | None
    declared: bool


def cause_key(record: Record) -> str | None:
    """The name by which the causes of all records are told apart; None where there is nothing to explain.

    A case that ends as expected has the cause that its expectation names, any other red one what its diagnosis
    recognizes, else the way in which it fails.
    """
    if is_declared(record):
        return _declared_key(record)
    if record.verdict in UNREMARKABLE or record.verdict in NOT_RUN:
        return None
    return key_of(_recognized(record) or failure(record))


def is_declared(record: Record) -> bool:
    """Whether the case ended as its expectation says."""
    return record.expected is not None and record.verdict == record.expected.verdict and not record.unexpected


def grouped(records: Iterable[Record]) -> Mapping[str, list[Record]]:
    """The records of each cause, in the order of their first cases."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        key = cause_key(record)
        if key is not None:
            groups.setdefault(key, []).append(record)
    return groups


def cause_name(key: str, records: Iterable[Record]) -> CauseName:
    """What the cause of these records is called."""
    first, *others = records
    if not is_declared(first):
        title = (_recognized(first) or failure(first)).replace("_", " ")
        return CauseName(key=key, title=one_line(title[:1].upper() + title[1:]), impact=None, declared=False)
    told = [item.expected for item in (first, *others) if item.expected is not None]
    title = next((item.title for item in told if item.title), None) or beginning(told[0].because)
    return CauseName(key=key, title=one_line(title), impact=told[0].impact, declared=True)


@lru_cache(maxsize=4096)
def key_of(text: str) -> str:
    """A text as a key: letters, digits and hyphens; a long one ends in a digest, since others may begin alike."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain and len(plain) <= _KEY_LENGTH:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_KEY_LENGTH].strip('-')}-{digest}".strip("-")


def one_line(title: str) -> str:
    """A title that leaves neither its heading, its row of a table nor its comment."""
    return " ".join(title.split())


def beginning(because: str) -> str:
    """The first words of a cause that nobody gave a title."""
    return because.partition(" (")[0].partition(",")[0].strip()


def _declared_key(record: Record) -> str | None:
    expected = record.expected
    return None if expected is None else expected.cause or key_of(expected.because)


def _recognized(record: Record) -> str | None:
    """The name of the first cause that the diagnosis of its pipelines found, else that of a runtime."""
    lowerings = (outcome.lowering for outcome in record.pipelines.values())
    found = (item.causes[0].name for item in (record.diagnosis, *lowerings) if item is not None and item.causes)
    return next(found, None)
