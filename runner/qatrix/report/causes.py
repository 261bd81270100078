"""Why cases differ: the causes of a run, those that its matrix declares and those that a diagnosis recognizes."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, get_args

from qatrix.claims import ComparisonPoint, Expectation, Impact, Issue, Verdict
from qatrix.diagnoses import Cause as Recognized
from qatrix.outcomes import LOWERED, NOT_RUN, UNREMARKABLE, Record
from qatrix.report.figures import number
from qatrix.report.rules import failure
from qatrix.report.spreads import Loss, Spread, loss_sentence, losses_of, nearer_sentence, spread_of
from qatrix.report.vocabulary import IMPACTS
from qatrix.text import steps_apart

# A key made of a text is about as long as one that people write.
_KEY_LENGTH: Final = 48
# What a matrix may call a cause, or what is made of a text: a record that was handed over may say anything.
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class CauseFacts:
    """What is known of a cause, without the cases that it explains.

    `sentence`, `impact`, `advice` and `because` are None where nobody said. Where only runtimes differ, `spread` is
    None, since it is about references, and `losses` are those of the runtimes.
    """

    key: str
    title: str
    verdicts: Mapping[Verdict, int]
    sentence: str | None = None
    impact: Impact | None = None
    advice: str | None = None
    because: str | None = None
    links: tuple[str, ...] = ()
    issue: Issue | None = None
    most_abs: float | None = None
    most_steps: float | None = None
    spread: Spread | None = None
    losses: tuple[Loss, ...] = ()

    @property
    def anchor(self) -> str:
        """Its name in links, the same on every page."""
        return cause_anchor(self.key)


@dataclass(frozen=True, kw_only=True)
class Cause(CauseFacts):
    """A cause with the cases that it explains, in the order of the run.

    One that the matrix does not declare is what a diagnosis recognizes, or the way in which cases fail; they are
    unexpected. `example` is the case whose script is the shortest, and `has_script` whether the run kept it.
    """

    declared: bool
    records: tuple[Record, ...]
    example: Record
    has_script: bool

    @property
    def has_several(self) -> bool:
        """Whether it explains more than one case."""
        return len(self.records) > 1


def causes(records: Iterable[Record], scripts: Mapping[str, str] | None = None) -> tuple[Cause, ...]:
    """The causes of a run: those that nobody declared first, then by impact, the gravest first, and by number of cases.

    `scripts` are those that the run kept, by case id.
    """
    found = [cause_of(key, group, scripts or {}) for key, group in grouped(records).items()]
    return tuple(sorted(found, key=_order))


def _order(cause: Cause) -> tuple[bool, int, int, str]:
    gravity = len(IMPACTS) if cause.impact is None else [*IMPACTS].index(cause.impact)
    return (cause.declared, gravity, -len(cause.records), cause.title)


def cause_of(key: str, records: Sequence[Record], scripts: Mapping[str, str]) -> Cause:
    """The cause that these records have in common."""
    kept = [record for record in records if record.case_id in scripts]
    example = min(kept or records, key=lambda item: (len(scripts.get(item.case_id, "")), item.case_id))
    comparisons = [
        item
        for record in records
        for item in record.comparisons
        if item.status == "diverged" and item.at in get_args(ComparisonPoint)
    ]
    first = records[0]
    recognized = None if is_declared(first) else recognized_cause(first)
    told = [item.expected for item in records if item.expected is not None] if is_declared(first) else []
    said = told[0] if told else None
    return Cause(
        key=key,
        title=_title(told) if told else _undeclared_title(recognized, first),
        sentence=said.sentence if said else recognized.sentence if recognized else None,
        impact=said.impact if said else None,
        advice=said.advice if said else None,
        because=said.because if said else None,
        links=links_of(told),
        issue=next((item.issue for item in told if item.issue), None),
        declared=bool(told),
        records=tuple(records),
        verdicts=Counter(record.verdict for record in records),
        most_abs=max((item.max_abs for item in comparisons if item.max_abs is not None), default=None),
        most_steps=max((item.max_steps for item in comparisons if item.max_steps is not None), default=None),
        spread=None if comparisons and all(item.at == LOWERED for item in comparisons) else spread_of(records),
        losses=losses_of(records),
        example=example,
        has_script=example.case_id in scripts,
    )


def figure_sentences(cause: CauseFacts) -> tuple[str, ...]:
    """Sentences on what was measured: how far apart outputs are, and who is nearer to the float model."""
    told = []
    if cause.most_abs is not None:
        steps = f", {steps_apart(number(cause.most_steps))}" if cause.most_steps is not None else ""
        told.append(f"Outputs are at most {number(cause.most_abs)} apart{steps}.")
    if cause.spread is not None:
        told.append(nearer_sentence(cause.spread))
    return (*told, *map(loss_sentence, cause.losses))


def links_of(told: Iterable[Expectation]) -> tuple[str, ...]:
    """Where to read on: what the expectations name, without their issues."""
    return tuple(
        sorted({item.link for item in told if item.link and not (item.issue and item.issue.link == item.link)})
    )


def issue_state(issue: Issue) -> str:
    """What had become of an issue, and when that was so: "open on 2026-11-30"."""
    return f"{issue.state} on {issue.checked}"


def cause_key(record: Record) -> str | None:
    """The name by which the causes of all records are told apart; None where there is nothing to explain.

    A case that ends as expected has the cause that its expectation names, any other red one what its diagnosis
    recognizes, else the way in which it fails.
    """
    if is_declared(record):
        return None if record.expected is None else declared_key(record.expected)
    if record.verdict in UNREMARKABLE or record.verdict in NOT_RUN:
        return None
    recognized = recognized_cause(record)
    return key_of(recognized.name if recognized else failure(record))


def declared_key(expected: Expectation) -> str:
    """The key of an expectation's cause: its own, else one made of the reason that expectations share."""
    key = expected.cause or ""
    return key if is_key(key) else key_of(expected.because)


def is_key(text: str) -> bool:
    """Whether a text may be a cause's key."""
    return _KEY.fullmatch(text) is not None


def is_declared(record: Record) -> bool:
    """Whether the case ended as its expectation says."""
    return record.expected is not None and record.verdict == record.expected.verdict and not record.unexpected


def grouped(records: Iterable[Record]) -> Mapping[str, Sequence[Record]]:
    """The records of each cause, in the order of their first cases."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        key = cause_key(record)
        if key is not None:
            groups.setdefault(key, []).append(record)
    return groups


def recognized_cause(record: Record) -> Recognized | None:
    """The first cause that the diagnosis of its pipelines found, else that of a runtime."""
    lowerings = (outcome.lowering for outcome in record.pipelines.values())
    found = (item.causes[0] for item in (record.diagnosis, *lowerings) if item is not None and item.causes)
    return next(found, None)


def cause_anchor(key: str) -> str:
    """A cause's name in links, the same in the report, the summary, the findings and bug reports."""
    return f"cause-{key}"


@lru_cache(maxsize=4096)
def key_of(text: str) -> str:
    """A text as a key: letters, digits and hyphens; a long one ends in a digest, since others may begin alike."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain and len(plain) <= _KEY_LENGTH:
        return plain
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain[:_KEY_LENGTH].strip('-')}-{digest}".strip("-")


def _title(told: Collection[Expectation]) -> str:
    """The title that one of the expectations gives, else the first words of their reason."""
    titles = (item.title for item in told if item.title)
    because = next(iter(told)).because
    return _one_line(next(titles, None) or because.partition(" (")[0].partition(",")[0].strip())


def _undeclared_title(recognized: Recognized | None, record: Record) -> str:
    title = recognized.name.replace("_", " ") if recognized else failure(record)
    return _one_line(title[:1].upper() + title[1:] if recognized else title)


def _one_line(title: str) -> str:
    """A title that leaves neither its heading, its row of a table nor its comment."""
    return " ".join(title.split())
