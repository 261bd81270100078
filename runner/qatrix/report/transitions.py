"""What became of one case from one run to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol, TypeAlias

from qatrix.claims import Verdict
from qatrix.lowerings import Ran
from qatrix.outcomes import NOT_RUN, Record
from qatrix.report.figures import decibels, number
from qatrix.report.lowered import LoweredModel, lowered_models
from qatrix.report.vocabulary import SEVERITY, VERDICTS, Tone

Kind = Literal[
    "unexpected",
    "worse",
    "changed",
    "expected",
    "better",
    "figures",
    "stopped",
    "started",
    "unselected",
    "selected",
    "vanished",
    "appeared",
    "same",
]
# Why a run has no record of a case: the matrix does not declare it, the run did not select it, or ended before it.
Absence = Literal["undeclared", "unselected", "unfinished"]


@dataclass(frozen=True, kw_only=True)
class KindWords:
    """How a transition is shown: glyph, word and tone together, and what it means."""

    glyph: str
    word: str
    tone: Tone
    meaning: str


# In the order in which they are listed: what may be trouble first.
KINDS: Final[Mapping[Kind, KindWords]] = {
    "unexpected": KindWords(
        glyph="!",
        word="newly unexpected",
        tone="bad",
        meaning="Unexpected now, and not before: the verdict changed, or what was declared of it, or the case is new.",
    ),
    "worse": KindWords(glyph="▼", word="worse", tone="bad", meaning="The verdict got worse."),
    "changed": KindWords(
        glyph="◆",
        word="changed",
        tone="known",
        meaning="The same verdict for a different reason: another stage, error, check or expectation.",
    ),
    "expected": KindWords(
        glyph="✓",
        word="no longer unexpected",
        tone="good",
        meaning="Unexpected before, but not now: fixed, or declared with its reason.",
    ),
    "better": KindWords(glyph="▲", word="better", tone="good", meaning="The verdict got better."),
    "figures": KindWords(
        glyph="~",
        word="figures differ",
        tone="fair",
        meaning="The same verdict for the same reason, but figures differ.",
    ),
    "stopped": KindWords(
        glyph="○",
        word="no longer run",
        tone="quiet",
        meaning="Skipped, unavailable or not reached now, so nothing can be said.",
    ),
    "started": KindWords(
        glyph="●",
        word="run now",
        tone="quiet",
        meaning="Skipped, unavailable or not reached before, so nothing can be said.",
    ),
    "unselected": KindWords(
        glyph="◌", word="not selected", tone="quiet", meaning="Declared, but the later run did not select it."
    ),
    "selected": KindWords(
        glyph="◍",
        word="selected now",
        tone="quiet",
        meaning="The earlier run did not select it, so nothing can be said.",
    ),
    "vanished": KindWords(
        glyph="−", word="vanished", tone="quiet", meaning="The matrix of the later run does not declare it."
    ),
    "appeared": KindWords(
        glyph="+", word="new", tone="quiet", meaning="The matrix of the earlier run does not declare it."
    ),
    "same": KindWords(
        glyph="=", word="the same", tone="quiet", meaning="The verdict, its reason and every figure are equal."
    ),
}
# What a reader who is warned of regressions is to see.
REGRESSIONS: Final[tuple[Kind, ...]] = ("unexpected", "worse")
_COUNTS: Final = ("fake_quantizes", "quantize_ops", "dequantize_ops", "batch_norms_left")
_DECIBELS: Final = " in dB"

Fact: TypeAlias = "str | float | None"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One case from an earlier run to a later one, and in words what is different."""

    kind: Kind
    says: tuple[str, ...] = ()

    @property
    def words(self) -> KindWords:
        """How the transition is shown."""
        return KINDS[self.kind]


class Standing(Protocol):
    """What is known of a case in one run: its verdict, and whether that was unexpected."""

    @property
    def verdict(self) -> Verdict:
        """What became of it."""
        raise NotImplementedError

    @property
    def unexpected(self) -> bool:
        """Whether verdict and expectation do not fit."""
        raise NotImplementedError


def step(before: Record | None, after: Record | None, *, without: Absence = "undeclared") -> Step:
    """The transition of a case; None is a run that does not have it, `without` says why it does not.

    Expectations come first: what is unexpected and was not is a regression, whatever the verdicts. Verdicts are
    ordered as everywhere in the report (`vocabulary.SEVERITY`): exact, checked, close, check failed, diverged,
    unquantized, failed, timed out, crashed, invalid.
    """
    if before is None or after is None:
        return Step(kind=_presence(before, after, without))
    says = tuple(_says(before, after))
    return Step(kind=_kind(before, after, differs=bool(says)), says=says)


def turn(before: Standing, after: Standing) -> Kind:
    """What became of a case by its verdict and expectation alone; "same" where neither tells of a change."""
    ran = before.verdict not in NOT_RUN, after.verdict not in NOT_RUN
    if after.unexpected and not before.unexpected:
        return "unexpected"
    if ran[0] != ran[1]:
        return "started" if ran[1] else "stopped"
    if before.unexpected and not after.unexpected:
        return "expected"
    if SEVERITY[before.verdict] == SEVERITY[after.verdict]:
        return "same"
    if not any(ran):
        return "changed"
    return "worse" if SEVERITY[after.verdict] < SEVERITY[before.verdict] else "better"


_GONE: Final[Mapping[Absence, Kind]] = {"undeclared": "vanished", "unselected": "unselected", "unfinished": "stopped"}
_COME: Final[Mapping[Absence, Kind]] = {"undeclared": "appeared", "unselected": "selected", "unfinished": "started"}


def _presence(before: Record | None, after: Record | None, without: Absence) -> Kind:
    if after is None:
        return "same" if before is None else _GONE[without]
    # Of a case that was declared before, and not looked at, nobody knows whether it is a regression.
    return "unexpected" if after.unexpected and without == "undeclared" else _COME[without]


def _kind(before: Record, after: Record, *, differs: bool) -> Kind:
    turned = turn(before, after)
    if turned != "same" or after.verdict in NOT_RUN:
        return turned
    if _manner(before) != _manner(after):
        return "changed"
    return "figures" if differs else "same"


def _manner(record: Record) -> tuple[object, ...]:
    """What tells two cases of one verdict apart, but for figures."""
    pipelines = sorted(
        (name, item.status, item.failed_stage or "", item.error.type if item.error else "")
        for name, item in record.pipelines.items()
    )
    checks = sorted((item.name, item.pipeline, item.status) for item in record.checks)
    comparisons = sorted((item.at, item.left, item.right, item.status) for item in record.comparisons)
    return pipelines, checks, comparisons, record.expected is None


def _says(before: Record, after: Record) -> Iterator[str]:
    if before.summary != after.summary or before.verdict != after.verdict:
        yield f"{_verdict(before)} → {_verdict(after)}"
    if before.reason != after.reason:
        yield f"{before.reason or 'no reason'} → {after.reason or 'no reason'}"
    if (before.expected is None) != (after.expected is None):
        known = after.expected or before.expected
        assert known is not None
        yield f"{'expected now' if after.expected else 'no longer expected'}: {known.because}"
    if before.unexpected != after.unexpected:
        yield "unexpected now" if after.unexpected else "as expected now"
    earlier, later = _facts(before), _facts(after)
    for name in dict.fromkeys([*earlier, *later]):
        one, other = earlier.get(name), later.get(name)
        if not _equal(one, other):
            yield f"{name}: {' → '.join(_told(one, other, name))}"


def _verdict(record: Record) -> str:
    word = VERDICTS[record.verdict].word
    return word if record.summary in (word, record.verdict) else f"{word} ({record.summary})"


def _facts(record: Record) -> dict[str, Fact]:
    """Every figure and status that a comparison of runs looks at, by its name."""
    facts: dict[str, Fact] = {}
    for item in record.comparisons:
        place = f"{item.left} and {item.right} {item.where}"
        facts[f"{place}, status"] = item.status
        facts[f"{place}, greatest difference"] = item.max_abs
        facts[f"{place}, in quantization steps"] = item.max_steps
        facts[f"{place}, tolerance"] = f"rtol {item.rtol}, atol {item.atol}"
    for name, outcome in record.pipelines.items():
        facts[name] = _outcome(outcome.status, outcome.failed_stage, outcome.error.type if outcome.error else None)
        facts[f"{name}, SQNR{_DECIBELS}"] = outcome.sqnr_db
        facts |= {f"{name}, {count.replace('_', ' ')}": getattr(outcome, count) for count in _COUNTS}
    for model in lowered_models(record):
        facts |= _runtime(model)
    for check in record.checks:
        facts[f"check {check.name} on {check.pipeline}"] = check.status
    return facts


def _runtime(model: LoweredModel) -> dict[str, Fact]:
    """What a runtime made of a model: how near to the float model, what ran in what, how large."""
    ran = model.lowering.ran or Ran()
    figures = {
        f"SQNR{_DECIBELS}": model.lowering.sqnr_db,
        "computed in": model.runs_in,
        "ops in float": len(ran.float_ops),
        **{
            fact.replace("_", " "): getattr(ran, fact)
            for fact in ("delegated", "left_over", "partitions", "size_bytes")
        },
        "first departure": model.lowering.first.layer if model.lowering.first else None,
    }
    return {f"{model.deployed}, {name}": fact for name, fact in figures.items()}


def _outcome(status: str, stage: str | None, error: str | None) -> str:
    where = f" at {stage}" if stage else ""
    return f"{status}{where}" + (f" with {error.rpartition('.')[2]}" if error else "")


def _equal(one: Fact, other: Fact) -> bool:
    """Equal to the bit; what is no number is equal to itself here."""
    return one == other or (one != one and other != other)  # noqa: PLR0124 - only NaN differs from itself


def _told(one: Fact, other: Fact, name: str) -> tuple[str, str]:
    """Both as they are read best, or with every digit where that would not tell them apart."""
    write = decibels if name.endswith(_DECIBELS) else number
    short = _written(one, write), _written(other, write)
    return short if short[0] != short[1] else (repr(one), repr(other))


def _written(fact: Fact, write: Callable[[float | None], str]) -> str:
    return fact if isinstance(fact, str) else write(fact)
