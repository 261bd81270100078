"""The verdict on a whole run, in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qatrix.claims import Verdict
from qatrix.outcomes import NOT_RUN, Record, Run
from qatrix.report.figures import clipped, counted
from qatrix.report.sentences import missing_sentence
from qatrix.report.vocabulary import SEVERITY, VERDICTS, Tone

_REASON_LENGTH = 60


@dataclass(frozen=True, kw_only=True)
class Headline:
    """A sentence and its tone; `interruption` is a sentence of its own where cases have no verdict."""

    tone: Tone
    glyph: str
    text: str
    interruption: str | None


def headline(run: Run, records: Sequence[Record], unfinished: int) -> Headline:
    """What there is to say about the run, the most important thing first."""
    tone, glyph, text = _sentence(records)
    interruption = _interruption(run, len(records), unfinished)
    if interruption and tone != "bad":
        tone, glyph = "known", "…"
    return Headline(tone=tone, glyph=glyph, text=text, interruption=interruption)


def _sentence(records: Sequence[Record]) -> tuple[Tone, str, str]:
    if not records:
        return "quiet", "○", "No case has a verdict, so nothing is known."
    unexpected = [record for record in records if record.unexpected]
    if unexpected:
        verb = "is" if len(unexpected) == 1 else "are"
        text = f"{len(unexpected)} of {counted(len(records), 'case')} {verb} unexpected: {_by_verdict(unexpected)}."
        return "bad", "✗", text
    if all(record.verdict in NOT_RUN for record in records):
        text = f"Nothing unexpected, but nothing was compared either: {_by_verdict(records)}."
        return "quiet", "○", text
    return "good", "✓", _nothing_unexpected(records)


def _nothing_unexpected(records: Sequence[Record]) -> str:
    known = [record for record in records if record.expected is not None]
    rest = [record for record in records if record.expected is None]
    agreeing = Counter(record.verdict for record in rest if record.verdict not in NOT_RUN)
    quiet = [record for record in rest if record.verdict in NOT_RUN]
    tail = [_by_verdict(quiet)] if quiet else []
    if known:
        tail.append(f"{len(known)} {'differs' if len(known) == 1 else 'differ'} as expected")
    return f"Nothing unexpected: {', '.join([*_agreement(len(records), agreeing), *tail])}."


def _agreement(total: int, agreeing: Counter[Verdict]) -> list[str]:
    """For instance "70 of 76 cases are exact", "3 close"."""
    ordered = sorted(agreeing.items(), key=_best_first)
    if not ordered:
        return [f"of {counted(total, 'case')} none is exact"]
    (verdict, count), *others = ordered
    verb = "is" if count == 1 else "are"
    first = f"{count} of {counted(total, 'case')} {verb} {VERDICTS[verdict].word}"
    return [first, *(f"{number} {VERDICTS[other].word}" for other, number in others)]


def _best_first(item: tuple[Verdict, int]) -> int:
    return -SEVERITY[item[0]]


def _by_verdict(records: Iterable[Record]) -> str:
    """For instance "2 failed, 4 skipped (no CUDA)": the reason where it is one and short."""
    groups: dict[Verdict, list[Record]] = {}
    for record in records:
        groups.setdefault(record.verdict, []).append(record)
    ordered = sorted(groups.items(), key=lambda item: SEVERITY[item[0]])
    return ", ".join(f"{len(group)} {VERDICTS[verdict].word}{_shared_reason(group)}" for verdict, group in ordered)


def _shared_reason(records: Sequence[Record]) -> str:
    reasons = {record.reason for record in records}
    if len(reasons) != 1 or None in reasons or records[0].verdict not in NOT_RUN:
        return ""
    return f" ({clipped(str(reasons.pop()).split(':')[0], _REASON_LENGTH)})"


def _interruption(run: Run, finished: int, unfinished: int) -> str | None:
    if not unfinished and run.missing_shards:
        return f"This is not the whole run: {missing_sentence(run.missing_shards)}."
    if not unfinished and run.finished:
        return None
    if not unfinished:
        return "The run did not end in order: all its cases have a verdict, but its end was not recorded."
    have = "has" if unfinished == 1 else "have"
    return (
        f"The run was interrupted: {unfinished} of {counted(finished + unfinished, 'case')} {have} no verdict."
        " Finish it with qatrix run --resume."
    )
