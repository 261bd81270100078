"""What each case says of each pipeline on its runtime: the facts that cells of the support table are folded from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix.claims import Verdict
from qatrix.lowerings import REFERENCE, runtime_in_words
from qatrix.outcomes import NOT_RUN, PipelineOutcome, Record
from qatrix.report.figures import axis_value
from qatrix.report.lowered import lowered_models
from qatrix.report.support.states import State
from qatrix.report.vocabulary import VERDICTS

# Verdicts of cases that no pipeline has an outcome of its own in.
_ENDED: Final[frozenset[Verdict]] = frozenset({"crashed", "timed_out", "invalid"})
_ANY: Final = "a pipeline"


@dataclass(frozen=True, kw_only=True)
class Column:
    """A quantizer, a pipeline, and the runtime that it is deployed in, with its options."""

    quantizer: str
    pipeline: str
    runtime: str

    @property
    def deployed(self) -> str:
        """For instance "fx on native (engine qnnpack)"."""
        return f"{self.pipeline} on {self.runtime}"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One case on one pipeline's runtime.

    `declared` is the name of the runtime in YAML, `detail` says where it fails or why it did not run. `is_off` is
    whether it is further from its reference than the tolerance allows.
    """

    case_id: str
    pattern: str
    column: Column
    declared: str
    state: State
    detail: str | None = None
    sqnr_db: float | None = None
    steps: float | None = None
    is_off: bool = False


@dataclass(frozen=True, kw_only=True)
class Names:
    """By which names runtimes and quantizers of a run can be chosen, in the order in which they occur."""

    runtimes: tuple[str, ...]
    quantizers: tuple[str, ...]


# Where each pipeline's models run, by the declared runtime and the pipeline; None where they stay the reference.
Deployments = Mapping[tuple[str, str], str | None]


def known_names(records: Iterable[Record]) -> Names:
    """The names that a table of these records can be chosen by: of a runtime its own name, too, and its options."""
    found = [*records]
    entries = [*entries_of(found, deployments(found))]
    return Names(
        runtimes=tuple(dict.fromkeys(name for entry in entries for name in runtime_names(entry))),
        quantizers=tuple(dict.fromkeys(entry.column.quantizer for entry in entries)),
    )


def runtime_names(entry: Entry) -> tuple[str, ...]:
    """What an entry's runtime is called: "xnnpack" in YAML, "executorch", and that with its options."""
    return entry.declared, entry.column.runtime.partition(" (")[0], entry.column.runtime


def deployments(records: Iterable[Record]) -> Deployments:
    """Where pipelines run, as far as any record tells; a runtime that nothing reached has its declared name."""
    told: dict[tuple[str, str], str] = {}
    reference: set[tuple[str, str]] = set()
    seen: dict[tuple[str, str], None] = {}
    for record in records:
        for name, outcome in _lowerable(record):
            key = _declared(record), name
            seen.setdefault(key)
            if outcome is not None and outcome.lowering is not None:
                told[key] = runtime_in_words(outcome.lowering.runtime, outcome.lowering.options)
            elif outcome is not None and outcome.status == "ok":
                # It ran, and has no lowering: it was not to be lowered.
                reference.add(key)
    named = {declared for declared, name in seen if name != _ANY}
    return {
        key: told.get(key, None if key in reference else key[0])
        for key in seen
        if key[1] != _ANY or key[0] not in named
    }


def _lowerable(record: Record) -> Iterator[tuple[str, PipelineOutcome | None]]:
    """The pipelines of a case that may have a runtime; of a case that ended without any it is any pipeline."""
    has_runtime = _declared(record) != REFERENCE
    for name, outcome in record.pipelines.items():
        if outcome.lowering is not None or (has_runtime and outcome.status != "not_declared"):
            yield name, outcome
    if has_runtime and not record.pipelines and record.verdict in _ENDED | NOT_RUN:
        yield _ANY, None


def entries_of(records: Iterable[Record], known: Deployments) -> Iterator[Entry]:
    """What the records say, case by case; cases whose models stay the reference say nothing."""
    pipelines: dict[str, list[str]] = {}
    for (declared, name), runtime in known.items():
        if runtime is not None:
            pipelines.setdefault(declared, []).append(name)
    for record in records:
        for name in pipelines.get(_declared(record), ()):
            runtime = known[_declared(record), name]
            entry = None if runtime is None else _entry(record, name, runtime)
            if entry is not None:
                yield entry


def _declared(record: Record) -> str:
    return axis_value(record.axes.get("runtime", REFERENCE))


def _entry(record: Record, pipeline: str, runtime: str) -> Entry | None:
    outcome = record.pipelines.get(pipeline)
    said = _ended(record) if outcome is None else _outcome(outcome)
    if said is None:
        return None
    model = next((item for item in lowered_models(record) if item.outcome.pipeline == pipeline), None)
    off = None if model is None else model.off
    return Entry(
        case_id=record.case_id,
        pattern=axis_value(record.axes.get("pattern")),
        column=Column(quantizer=axis_value(record.axes.get("quantizer")), pipeline=pipeline, runtime=runtime),
        declared=_declared(record),
        state=model.runs_in if said[0] == "untold" and model is not None else said[0],
        detail=said[1],
        sqnr_db=None if model is None else model.lowering.sqnr_db,
        steps=None if off is None else off.max_steps,
        is_off=off is not None and off.status in {"diverged", "mismatched"},
    )


def _ended(record: Record) -> tuple[State, str | None] | None:
    """What a case says of all its pipelines, none of which has an outcome."""
    if record.verdict in _ENDED:
        return "fails", VERDICTS[record.verdict].word
    return ("unavailable", record.reason or record.summary) if record.verdict in NOT_RUN else None


def _outcome(outcome: PipelineOutcome) -> tuple[State, str | None] | None:
    if outcome.status == "failed":
        return "fails", f"at {outcome.failed_stage}"
    if outcome.status in {"unavailable", "inexpressible"}:
        return "unavailable", outcome.reason
    return ("untold", None) if outcome.lowering is not None else None
