"""What must hold in a run store, whoever wrote it: kinds of values, and that what is said twice is said alike."""

from __future__ import annotations

import math
import re
import sqlite3
import zlib
from collections.abc import Iterator
from typing import Final

from qatrix.claims import Verdict
from qatrix.outcomes import MOST_SHARDS, PRECEDENCE, Record, Run

# SQLite's integers have 63 bits; places in a selection need far fewer.
_MOST_CASES: Final = 2**40
# A script has about 10 kB, one of a whole model ten times that.
_LONGEST_SCRIPT: Final = 4 * 2**20
# A hundred thousand cases have ids of ten million characters.
_LONGEST_LIST: Final = 2**26
_SHARD: Final = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")


class Disagreement(ValueError):
    """A value is not of its kind, or two that should be alike are not; the message says which."""


def text_of(value: object, name: str) -> str:
    """The text that a column must hold. Raises Disagreement."""
    if not isinstance(value, str):
        msg = f"{name} is {value!r:.80}, which is no text"
        raise Disagreement(msg)
    return value


def ordinal_of(value: object) -> int:
    """A case's place in the selection. Raises Disagreement."""
    if not isinstance(value, int) or not 0 <= value < _MOST_CASES:
        msg = f"ordinal is {value!r:.80}, which is no place in a selection"
        raise Disagreement(msg)
    return value


def seconds_of(value: object) -> float:
    """A duration. Raises Disagreement."""
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        msg = f"seconds is {value!r:.80}, which is no duration"
        raise Disagreement(msg)
    return float(value)


def verdict_of(value: object) -> Verdict:
    """A verdict. Raises Disagreement."""
    if value not in PRECEDENCE:
        msg = f"{value!r:.80} is no verdict"
        raise Disagreement(msg)
    return PRECEDENCE[PRECEDENCE.index(value)]


def flag_of(value: object, name: str) -> bool:
    """A column that is 0 or 1. Raises Disagreement."""
    if value not in (0, 1) or not isinstance(value, int):
        msg = f"{name} is {value!r:.80}, which is neither 0 nor 1"
        raise Disagreement(msg)
    return bool(value)


def script_of(value: object, case_id: object) -> str:
    """A script from its bytes, which may not swell beyond what a script has. Raises Disagreement."""
    return _unpacked(value, f"the script of {case_id!r:.80}", most=_LONGEST_SCRIPT)


def listing_of(value: object) -> str:
    """The JSON of a list of cases from its bytes, which may not swell beyond what a matrix has. Raises Disagreement."""
    return _unpacked(value, "the list of cases that were not selected", most=_LONGEST_LIST)


def _unpacked(value: object, name: str, *, most: int) -> str:
    if not isinstance(value, bytes):
        msg = f"{name} is no bytes"
        raise Disagreement(msg)
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(value, most)
        if unpacking.unconsumed_tail or not unpacking.eof:
            msg = f"{name} is cut short, or longer than {most} bytes"
            raise Disagreement(msg)
        return content.decode()
    except (zlib.error, UnicodeDecodeError) as error:
        msg = f"{name} cannot be unpacked: {error}"
        raise Disagreement(msg) from error


def demand_like_columns(record: Record, case_id: object, columns: tuple[object, ...]) -> None:
    """Raise Disagreement unless a record says what its row says: case id, suite, verdict, unexpected, seconds."""
    inside = (record.case_id, record.suite, record.verdict, record.unexpected, record.seconds)
    names = ("case_id", "suite", "verdict", "unexpected", "seconds")
    for name, found, said in zip(names, inside, (case_id, *columns), strict=True):
        if found != said:
            msg = f"the row of {case_id!r:.80} has the {name} {said!r:.80}, and its record {found!r:.80}"
            raise Disagreement(msg)
    for seconds in _durations(record):
        seconds_of(seconds)


def demand_possible(run: Run) -> None:
    """Raise Disagreement where a run cannot have been so."""
    seconds_of(run.seconds)
    counts = {"declared": run.declared, "threads": run.environment.threads}
    for name, count in (*counts.items(), *(("count", item.count) for item in run.dropped)):
        if count < 0:
            msg = f"{name} is {count}"
            raise Disagreement(msg)
    for shard in (*([] if run.shard is None else [run.shard]), *run.missing_shards):
        found = _SHARD.fullmatch(shard)
        if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MOST_SHARDS:
            msg = f"shard is {shard!r:.80}, which is none of at most {MOST_SHARDS}"
            raise Disagreement(msg)


def demand_sums(connection: sqlite3.Connection, run: Run) -> None:
    """Raise Disagreement unless the cases are as many as the run says, each at a place of its own."""
    statement = (
        "SELECT count(*), count(DISTINCT ordinal), coalesce(sum(state = 'finished'), 0),"
        " coalesce(sum(state <> 'finished' AND record IS NOT NULL), 0),"
        " coalesce(sum(typeof(case_id) <> 'text' OR typeof(ordinal) <> 'integer' OR ordinal < 0"
        " OR state NOT IN ('planned', 'started', 'finished')), 0) FROM cases"
    )
    cases, places, finished, early, strange = connection.execute(statement).fetchone()
    if strange:
        msg = f"{strange} of its cases have no text for an id, no number for a place, or a state that is none"
        raise Disagreement(msg)
    if early:
        msg = f"{early} of its cases have a record and are said not to have finished"
        raise Disagreement(msg)
    if places != cases:
        msg = f"its {cases} cases stand at {places} places"
        raise Disagreement(msg)
    # A run that was killed before it noted its cases has none.
    if cases != run.declared and (cases or run.finished):
        msg = f"the run declares {run.declared} cases, and it holds {cases}"
        raise Disagreement(msg)
    if run.finished and finished != cases:
        msg = f"the run is said to have finished, and {cases - finished} of its {cases} cases have no verdict"
        raise Disagreement(msg)


def _durations(record: Record) -> Iterator[float]:
    yield record.seconds
    for outcome in record.pipelines.values():
        yield from (stage.seconds for stage in outcome.stages)
    if record.diagnosis is not None:
        yield record.diagnosis.seconds
