"""How many mutants were killed, as numbers, as a table, and as a list of those that were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mutants.campaign import Result, Way
from mutants.faults import FAULTS

WAYS: Final[tuple[Way, ...]] = ("alike", "alone")
# What share of the mutants that are not equivalent must be killed, in percent.
DUE: Final[dict[Way, float]] = {"alike": 95.0, "alone": 98.0}
_HEAD: Final = (
    *("kind", "alike: planted", "killed", "equivalent", "survived"),
    *("alone: planted", "killed", "equivalent", "raised", "noticed", "survived"),
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """The mutants of one way: killed, equivalent, raised, noticed and not named, or survived."""

    killed: int = 0
    equivalent: int = 0
    raised: int = 0
    noticed: int = 0
    survived: int = 0

    @property
    def planted(self) -> int:
        """All of them."""
        return self.judged + self.equivalent + self.raised

    @property
    def judged(self) -> int:
        """Those that a check can tell from what is right."""
        return self.killed + self.noticed + self.survived

    @property
    def percent(self) -> float:
        """The share of the killed in those that a check can tell; 100 where there are none."""
        return 100.0 * self.killed / self.judged if self.judged else 100.0


def score_of(results: Iterable[Result], way: Way, *, kind: str | None = None) -> Score:
    """The score of one way, of all kinds or of one."""
    counts = Counter(item.status for item in results if item.mutant.way == way and kind in {None, item.mutant.fault})
    return Score(
        killed=counts["killed"],
        equivalent=counts["equivalent"],
        raised=counts["raised"],
        noticed=counts["noticed"],
        survived=counts["survived"],
    )


def is_enough(results: Sequence[Result]) -> bool:
    """Whether both ways reach what is due."""
    return all(score_of(results, way).percent >= DUE[way] for way in WAYS)


def summary(results: Sequence[Result]) -> Iterator[str]:
    """A sentence on each way."""
    for way in WAYS:
        score = score_of(results, way)
        yield (
            f"{way}: {score.killed} of {score.judged} killed, {score.percent:.1f} % ({DUE[way]:.0f} % are due); "
            f"{score.planted} planted, {score.equivalent} of them equivalent, {score.raised} raised"
        )


def table(results: Sequence[Result]) -> str:
    """The scores by kind, in Markdown: first of faults in both pipelines, then of those in one."""
    lines = ["| " + " | ".join(_HEAD) + " |", "|" + " --- |" * len(_HEAD)]
    kinds = dict.fromkeys(fault.name for fault in FAULTS)
    lines += [_line(f"`{kind}`", results, kind) for kind in kinds if any(kind == item.mutant.fault for item in results)]
    lines.append(_line("**all**", results, None))
    return "\n".join(lines) + "\n"


def _line(name: str, results: Sequence[Result], kind: str | None) -> str:
    alike, alone = (score_of(results, way, kind=kind) for way in WAYS)
    numbers = (
        *(alike.planted, alike.killed, alike.equivalent, alike.survived),
        *(alone.planted, alone.killed, alone.equivalent, alone.raised, alone.noticed, alone.survived),
    )
    return f"| {name} | " + " | ".join(map(str, numbers)) + " |"


def survivors(results: Iterable[Result]) -> Iterator[str]:
    """Each mutant that was not killed and is not equivalent, in a line."""
    for item in results:
        if item.status in {"survived", "noticed"}:
            yield line(item)


def line(item: Result) -> str:
    """A result in a line."""
    mutant = item.mutant
    where = f"{mutant.fault} at {mutant.layer} in {' and '.join(mutant.pipelines)}"
    return f"{item.status}: {where} of {mutant.case_id}: {item.because}"
