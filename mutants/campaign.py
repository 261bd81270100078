"""All faults at all their places: the plan, a sample of it, and what becomes of each."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch

from mutants.equivalence import proof
from mutants.faults import FAULTS
from mutants.faults.fault import Fault
from mutants.naming import names, noticed
from mutants.planting import Kept, Plant
from mutants.subjects import Subject, cases, subject_of
from qatrix.claims import DEFAULT_PIPELINES
from qatrix.declare.spec import Case
from qatrix.execute.options import Execution
from qatrix.execute.workers import torch_ready
from qatrix.outcomes import Record

# Into both pipelines at the same layer, so that they agree, or into one of them.
Way = Literal["alike", "alone"]
# Of a fault in one pipeline: "raised" is one that makes its program raise, which nobody can overlook and where there is
# nothing to check, "noticed" one that the record holds something against, but does not name.
Status = Literal["killed", "equivalent", "raised", "noticed", "survived"]


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A fault at a layer of a case, in one or in all of its pipelines."""

    case_id: str
    fault: str
    layer: str
    pipelines: tuple[str, ...]

    @property
    def way(self) -> Way:
        """Whether one pipeline is left as it is."""
        return "alone" if len(self.pipelines) == 1 else "alike"


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a mutant; `because` names the checks and the verdict that tell, or the proof of equivalence."""

    mutant: Mutant
    status: Status
    because: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which mutants are wanted: kinds of faults, globs of cases, and a sample of so many."""

    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0

    def faults(self) -> tuple[Fault, ...]:
        """The faults of the chosen kinds."""
        return tuple(fault for fault in FAULTS if not self.kinds or fault.name in self.kinds)

    def cases(self) -> tuple[Case, ...]:
        """The cases of the chosen models."""
        return cases(*(f"*/{model}/*" for model in self.models))


def planned(row: int, subject: Subject, faults: Sequence[Fault]) -> Iterator[Mutant]:
    """One place of each fault in a case, each way; another layer and another pipeline from row to row."""
    for column, fault in enumerate(faults):
        if fault.in_training and subject.case.training is None:
            continue
        layers = [subject.layers[name].get(fault.name, ()) for name in DEFAULT_PIPELINES]
        turn = row + column
        both = [layer for layer in layers[0] if layer in layers[1]]
        chosen = Mutant(case_id=subject.case.case_id, fault=fault.name, layer="", pipelines=DEFAULT_PIPELINES)
        if both:
            yield replace(chosen, layer=both[turn % len(both)])
        # The other pipeline where this one has no room.
        side = turn % 2 if layers[turn % 2] else 1 - turn % 2
        if layers[side]:
            layer = layers[side][turn % len(layers[side])]
            yield replace(chosen, layer=layer, pipelines=(DEFAULT_PIPELINES[side],))


def sampled(mutants: Sequence[Mutant], choice: Choice) -> list[Mutant]:
    """As many of the planned mutants as are wanted, the same ones for the same seed, in the order of the plan."""
    if choice.sample is None or choice.sample >= len(mutants):
        return list(mutants)
    drawn = random.Random(choice.seed).sample(range(len(mutants)), choice.sample)  # noqa: S311 - no secret
    return [mutants[place] for place in sorted(drawn)]


def judged(subject: Subject, mutant: Mutant) -> Result:
    """What becomes of a case with a fault in it; raises NotPlanted where the fault could not be planted."""
    fault = next(item for item in FAULTS if item.name == mutant.fault)
    whole = fault.point == "prepared"
    plants = {name: Plant(subject.layout, fault, mutant.layer) for name in mutant.pipelines}
    kept = {name: Kept(whole) for name in mutant.pipelines}
    record = subject.planted({name: (plants[name], kept[name]) for name in plants}, diagnose=mutant.way == "alone")
    for plant in plants.values():
        plant.demand()
    told = noticed(record, subject.record)
    because = ", ".join(told) or record.verdict
    if _is_killed(subject, mutant, fault, record):
        return Result(mutant=mutant, status="killed", because=because)
    if mutant.way == "alone" and any(record.pipelines[name].status == "failed" for name in mutant.pipelines):
        return Result(mutant=mutant, status="raised", because=because)
    same = proof({name: subject.kept[name] for name in kept}, kept, subject.inputs, whole=whole)
    if same is not None:
        return Result(mutant=mutant, status="equivalent", because=same)
    return Result(mutant=mutant, status="noticed" if told else "survived", because=because)


def _is_killed(subject: Subject, mutant: Mutant, fault: Fault, record: Record) -> bool:
    """In both pipelines it is enough that something is noticed; in one of them the record has to name the fault."""
    if mutant.way == "alike":
        return bool(noticed(record, subject.record))
    (pipeline,) = mutant.pipelines
    layers = subject.kin.get(mutant.layer, frozenset()) | {mutant.layer}
    return names(record, subject.record, pipeline=pipeline, layers=layers, quantity=fault.quantity)


def run(choice: Choice, *, jobs: int) -> Iterator[Result]:
    """What becomes of each chosen mutant, case by case; raises Unsound where a case fails without a fault."""
    rows = list(enumerate(choice.cases()))
    with _mapping(jobs) as each:
        plans = each(functools.partial(_plan, choice), rows)
        chosen = sampled(list(itertools.chain.from_iterable(plans)), choice)
        parts = [(case, [item for item in chosen if item.case_id == case.case_id]) for _, case in rows]
        for results in each(functools.partial(_judge, choice), [part for part in parts if part[1]]):
            yield from results


@contextlib.contextmanager
def _mapping(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """The function map, in this process or in as many as there are jobs."""
    if jobs == 1:
        with _same_threads(), torch_ready(Execution()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield map
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin) as pool:
        yield pool.map


@contextlib.contextmanager
def _same_threads() -> Iterator[None]:
    """As many threads afterwards as before; a case has one, so that a machine's cores change no result."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _begin() -> None:
    """Prepare a process of its own, until it ends."""
    warnings.simplefilter("ignore")
    stack = contextlib.ExitStack()
    stack.enter_context(torch_ready(Execution()))
    _OPEN.append(stack)


# What a process of its own keeps open.
_OPEN: Final[list[contextlib.ExitStack]] = []


def _plan(choice: Choice, row: tuple[int, Case]) -> list[Mutant]:
    number, case = row
    return list(planned(number, subject_of(case, choice.faults()), choice.faults()))


def _judge(choice: Choice, part: tuple[Case, list[Mutant]]) -> list[Result]:
    case, mutants = part
    subject = subject_of(case, choice.faults())
    return [judged(subject, mutant) for mutant in mutants]
