"""What the cases of one kind have in common: the shortest conditions on axes that tell them from all other cases.

A condition is an axis with a value, or an axis of numbers above or up to one ("groups>1"); a rule
has up to three of them. Each kind, such as a cause, gets rules of its own. Candidates are
searched by size, the best of each size grown by one more condition (a beam search, as subgroup
discovery does it; libraries for that bring scikit-learn or a solver along, for what are
a hundred lines here). Of the candidates those are taken that cover most of what is left
(greedy set cover), rules that fit nothing else first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from qatrix.outcomes import LOWERED, PipelineOutcome, Record
from qatrix.report.figures import axis_value, counted
from qatrix.report.lowered import lowered_models
from qatrix.report.vocabulary import VERDICTS

MOST_CONDITIONS: Final = 3
# How many rules of a size are grown to the next.
_BEAM: Final = 40
# A rule that fits more other cases than its own explains nothing.
_LEAST_PRECISION: Final = 0.5
# Of conditions that fit the same cases, the parameters of a pattern say most, then these, a suite least.
_TELLING: Final = ("conv", "pattern", "quantizer", "dim", "device", "suite")
_ONES: Final = np.array([number.bit_count() for number in range(256)], dtype=np.uint8)

Bits = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Conditions on axes that explain a kind of case.

    `conditions` has a value for each axis; of the axes in `thresholds` it begins with ">" or "<=".
    `what` is the kind, `case_ids` are the cases that this rule explains and none before it does, and `covered` counts
    all cases that fit the conditions, of this kind or not. `sentence` says how many cases fit which conditions.
    """

    conditions: Mapping[str, str]
    thresholds: frozenset[str]
    what: str
    case_ids: tuple[str, ...]
    covered: int
    sentence: str


def rules(records: Sequence[Record], kind_of: Callable[[Record], str | None]) -> tuple[Rule, ...]:
    """The rules of a run, those that explain most cases first; every case of a kind is in at most one.

    `kind_of` says which cases are of one kind; those of None are the others.
    """
    kinds: dict[str, list[int]] = {}
    for place, record in enumerate(records):
        kind = kind_of(record)
        if kind is not None:
            kinds.setdefault(kind, []).append(place)
    if not kinds:
        return ()
    terms = _terms(records)
    found = [rule for what, places in kinds.items() for rule in _rules_of(what, places, terms, records)]
    return tuple(sorted(found, key=lambda rule: -len(rule.case_ids)))


def failure(record: Record) -> str:
    """The kind of a red case in words, without its figures: "fx failed at prepare (NotImplementedError)"."""
    outcomes = record.pipelines.values()
    if record.verdict == "failed":
        return " and ".join(_failed(item) for item in outcomes if item.status == "failed") or "failed"
    if record.verdict == "unquantized":
        return f"{' and '.join(_idle(outcomes)) or 'a pipeline'} quantized nothing"
    if record.verdict == "diverged":
        return _diverged(record)
    if record.verdict == "check_failed":
        failed = dict.fromkeys(f"check {item.name} failed" for item in record.checks if item.status == "failed")
        return " and ".join(failed) or "a check failed"
    return VERDICTS[record.verdict].word


def _failed(outcome: PipelineOutcome) -> str:
    error = f" ({outcome.error.type.rpartition('.')[2]})" if outcome.error else ""
    return f"{outcome.pipeline} failed at {outcome.failed_stage}{error}"


def _idle(outcomes: Iterable[PipelineOutcome]) -> list[str]:
    ran = (item for item in outcomes if item.status == "ok")
    return [item.pipeline for item in ran if item.keeps_float or 0 in (item.fake_quantizes, item.quantize_ops)]


def _diverged(record: Record) -> str:
    """Which pipelines diverged; where they agree and only their runtimes do not, which runtimes, from what."""
    apart = [item for item in record.comparisons if item.status in {"diverged", "mismatched"}]
    if not apart or any(item.at != LOWERED for item in apart):
        causes = record.diagnosis.causes if record.diagnosis else ()
        names = (cause.name for cause in causes if cause.explains_first)
        return f"{' and '.join(record.pipelines)} diverged{_causes(names)}"
    off = [model for model in lowered_models(record) if model.off in apart]
    told = [f"{model.deployed} left its reference" for model in off]
    between = [f"{item.left} and {item.right} diverged" for item in apart]
    return f"{' and '.join(told or between)}{_causes(cause.name for model in off for cause in model.lowering.causes)}"


def _causes(names: Iterable[str]) -> str:
    """The causes by name, where they are known."""
    told = dict.fromkeys(name.replace("_", " ") for name in names)
    return f" ({', '.join(told)})" if told else ""


@dataclass(frozen=True, kw_only=True)
class _Term:
    """A condition and the cases that fit it, a bit each; of a threshold the value begins with ">" or "<="."""

    axis: str
    value: str
    fits: Bits
    is_threshold: bool = False

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Its place among conditions that fit the same cases: a single value says more than a threshold."""
        telling = _TELLING.index(self.axis) + 1 if self.axis in _TELLING else 0
        return (self.is_threshold, telling, self.axis, self.value)

    def __str__(self) -> str:
        return f"{self.axis}{'' if self.is_threshold else '='}{self.value}"


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """Conditions and the cases that fit all of them: `own` of the kind in question, `covered` of any."""

    terms: tuple[_Term, ...]
    fits: Bits
    own: int
    covered: int

    @property
    def order(self) -> tuple[float, int, int, list[tuple[bool, int, str, str]]]:
        """The better rule first: one that fits nothing else, has fewer conditions, explains more cases."""
        return (-self.own / self.covered, len(self.terms), -self.own, [term.rank for term in self.terms])


def _terms(records: Sequence[Record]) -> list[_Term]:
    """Every axis with each of its values and thresholds, but for those that all cases share."""
    places: dict[str, dict[str, list[int]]] = {}
    numbers: dict[str, dict[str, float]] = {}
    for place, record in enumerate(records):
        for axis, value in (("suite", record.suite), *record.axes.items()):
            text = axis_value(value)
            places.setdefault(axis, {}).setdefault(text, []).append(place)
            if type(value) in {int, float}:
                numbers.setdefault(axis, {})[text] = float(str(value))
    terms = [
        _Term(axis=axis, value=value, fits=_bits(fitting, len(records)), is_threshold=is_threshold)
        for axis, values in places.items()
        for is_threshold, fits in ((False, values), (True, _thresholds(values, numbers.get(axis, {}))))
        for value, fitting in fits.items()
        if len(fitting) < len(records)
    ]
    return sorted(terms, key=lambda term: term.rank)


def _thresholds(places: Mapping[str, list[int]], numbers: Mapping[str, float]) -> dict[str, list[int]]:
    """Of an axis that has numbers alone, what is up to each of them and what is above."""
    if len(numbers) < len(places):
        return {}
    ordered = sorted(places, key=numbers.__getitem__)
    found = {}
    for number, value in enumerate(ordered[:-1], start=1):
        found[f"<={value}"] = [place for known in ordered[:number] for place in places[known]]
        found[f">{value}"] = [place for known in ordered[number:] for place in places[known]]
    return found


def _bits(places: Sequence[int], count: int) -> Bits:
    marks = np.zeros(count, dtype=bool)
    marks[list(places)] = True
    return np.packbits(marks)


def _count(bits: Bits) -> int:
    return int(_ONES[bits].sum())


def _rules_of(what: str, places: Sequence[int], terms: Sequence[_Term], records: Sequence[Record]) -> Iterator[Rule]:
    """Rules until every case of the kind is explained, or none would explain another."""
    own = _bits(places, len(records))
    candidates = _candidates(own, [term for term in terms if _count(term.fits & own)])
    left = own
    while best := _best(candidates, left):
        explained: list[int] = np.flatnonzero(np.unpackbits(best.fits & left, count=len(records))).tolist()
        yield _rule(what, best, [records[place] for place in explained])
        left = left & ~best.fits


def _candidates(own: Bits, terms: Sequence[_Term]) -> list[_Candidate]:
    found: list[_Candidate] = []
    seen: set[bytes] = set()
    grown = [_Candidate(terms=(), fits=np.full_like(own, 255), own=0, covered=1)]
    for _ in range(MOST_CONDITIONS):
        size = [
            candidate
            for base in grown
            for term in terms
            if all(term.axis != other.axis for other in base.terms)
            and (candidate := _grown(base, term, own)).own
            and not _repeated(candidate.fits, seen)
        ]
        found += [candidate for candidate in size if candidate.own >= _LEAST_PRECISION * candidate.covered]
        grown = sorted((item for item in size if item.own < item.covered), key=_promise)[:_BEAM]
    return found


def _grown(base: _Candidate, term: _Term, own: Bits) -> _Candidate:
    fits = base.fits & term.fits
    return _Candidate(terms=(*base.terms, term), fits=fits, own=_count(fits & own), covered=max(1, _count(fits)))


def _repeated(fits: Bits, seen: set[bytes]) -> bool:
    """Whether shorter or more telling conditions fit just these cases."""
    key = fits.tobytes()
    if key in seen:
        return True
    seen.add(key)
    return False


def _promise(candidate: _Candidate) -> tuple[int, float]:
    """Rules that fit many cases of the kind are worth another condition, of these the most precise."""
    return (-candidate.own, -candidate.own / candidate.covered)


def _best(candidates: Sequence[_Candidate], left: Bits) -> _Candidate | None:
    """The rule that explains most of what is left among the most precise of the fewest conditions."""
    useful = [(candidate, gain) for candidate in candidates if (gain := _count(candidate.fits & left))]
    if not useful:
        return None
    return min(useful, key=lambda item: (item[0].own < item[0].covered, -item[1], item[0].order))[0]


def _rule(what: str, candidate: _Candidate, explained: Sequence[Record]) -> Rule:
    conditions = {term.axis: term.value for term in candidate.terms}
    where = " and ".join(map(str, candidate.terms))
    total = counted(len(explained), "case")
    of = "" if candidate.own == candidate.covered else f" ({candidate.own} of the {candidate.covered} that fit)"
    return Rule(
        conditions=conditions,
        thresholds=frozenset(term.axis for term in candidate.terms if term.is_threshold),
        what=what,
        case_ids=tuple(record.case_id for record in explained),
        covered=candidate.covered,
        sentence=f"{where}: {total}{of}",
    )
