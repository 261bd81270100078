"""One pipeline's model in its runtime: lowered, run, and asked what ran where."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import nn

from qatrix.claims import DETERMINISTIC_EVAL, RUNS_IN_INTEGERS
from qatrix.declare.inputs import DataFile
from qatrix.declare.spec import Case, RuntimeUse
from qatrix.execute import isolation
from qatrix.execute.clock import StageClock, StageFailed
from qatrix.execute.passes import FORWARD_SEED, kept
from qatrix.execute.soundness import of_other_batch, outcome_of
from qatrix.expressions import Value
from qatrix.judge import numerics
from qatrix.judge.allowances import allowances
from qatrix.lowerings import Lowering, Ran
from qatrix.outcomes import LOWERED, CheckOutcome, Comparison
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Lowered, Program, Runtime, runtime_of
from qatrix.pipelines.torchenv import seed_generators

_FORWARD: Final = "lowered_forward"


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A model that has run in its runtime: what it was lowered from and by, what it gave, and the checks of that."""

    program: Program
    lowered: Lowered
    outputs: object
    ran: Ran
    checks: tuple[CheckOutcome, ...]
    use: RuntimeUse
    version: str | None
    lower: Callable[[Program], Lowered]

    def lowering(self, reference: object) -> Lowering:
        """What the record keeps of it; `reference` are the float model's outputs."""
        sqnr, note = numerics.sqnr_db(reference, self.outputs)
        return Lowering(
            runtime=self.use.runtime,
            options={name: _shown(value) for name, value in self.use.options.items()},
            version=self.version,
            sqnr_db=sqnr,
            variation_db=numerics.variation_db(reference, self.outputs),
            ran=self.ran,
            notes=() if note is None else (note,),
        )


@dataclass(frozen=True)
class Deployment:
    """One pipeline's way into the case's runtime."""

    case: Case
    pipeline: str
    use: RuntimeUse
    runtime: Runtime
    _prepared: list[nn.Module] = field(default_factory=list)

    @classmethod
    def of(cls, case: Case, pipeline: str) -> Deployment | None:
        """The way of a case's pipeline, None where its runtime is the reference."""
        use = case.runtime_of(pipeline)
        return None if use is None else cls(case, pipeline, use, runtime_of(use))

    def note_prepared(self, prepared: nn.Module) -> None:
        """Keep a copy of the prepared program, which convert changes, where the runtime takes that one."""
        if self.use.takes == "prepared":
            self._prepared.append(copy.deepcopy(prepared))

    def go(self, converted: nn.Module, inputs: Inputs, clock: StageClock) -> Deployed:
        """The model in its runtime, which has run. Raises StageFailed."""
        case, module = self.case, self._prepared[-1] if self._prepared else converted
        program = Program(
            module=module,
            inputs=inputs,
            quantizer=case.quantizer,
            dynamic_batch=case.dynamic_batch,
            case_id=case.case_id,
        )
        with clock("lower"), torch.no_grad():
            lowered = self.runtime.lower(program)
        with clock(_FORWARD), torch.no_grad():
            outputs = self._run(lowered, inputs)
            ran = lowered.ran()
        return Deployed(
            program=program,
            lowered=lowered,
            outputs=outputs,
            ran=ran,
            checks=self._checks(lowered, inputs, outputs, ran),
            use=self.use,
            version=self.runtime.version(),
            lower=self.runtime.lower,
        )

    def _run(self, lowered: Lowered, inputs: Inputs, *, seed: int = FORWARD_SEED) -> object:
        seed_generators(seed)
        return kept(lowered.run(inputs))

    def _run_again(self, lowered: Lowered, inputs: Inputs) -> object:
        """Its outputs once more, outside the clock; raises StageFailed all the same."""
        try:
            return self._run(lowered, inputs, seed=FORWARD_SEED + 1)
        except BaseException as error:
            isolation.let_ctrl_c_through(error)
            raise StageFailed(_FORWARD) from error

    def _checks(self, lowered: Lowered, inputs: Inputs, outputs: object, ran: Ran) -> tuple[CheckOutcome, ...]:
        again = self._run_again(lowered, inputs)
        apart = numerics.apart_in_two_runs(outputs, again, at=LOWERED)
        made = []
        if apart is not None:
            told = f"{self.use.runtime} gives two different outputs for one input: {apart}"
            made.append(outcome_of(DETERMINISTIC_EVAL, self.pipeline, [told]))
        if self.use.computes_in_integers and self.case.quantizes == "something":
            made.append(outcome_of(RUNS_IN_INTEGERS, self.pipeline, list(_float_ops(ran))))
        if self.case.dynamic_batch:
            run, where = functools.partial(self._run, lowered), f" on {self.use.runtime}"
            made.append(of_other_batch(self.case, self.pipeline, run, inputs, outputs, where=where))
        return tuple(made)


def _shown(value: object) -> Value:
    """An option's value; a file by its name, and what unknown code is told in mappings and tuples as text."""
    if isinstance(value, DataFile):
        return Path(value.path).name
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _float_ops(ran: Ran) -> Iterator[str]:
    """The ops that were to run in integers and do not, in words."""
    for item in ran.float_ops:
        because = "" if item.because is None else f" ({item.because})"
        yield f"{item.layer or 'a layer'}: {item.op} is quantized, but runs in floating point{because}"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One pipeline's side of a case that has a runtime: the outputs of the reference and of the runtime.

    `steps` are those of the reference's outputs, `float_outputs` the float model's.
    """

    pipeline: str
    lowering: Lowering
    converted: object
    lowered: object
    steps: Sequence[float | None]
    float_outputs: object

    @property
    def name(self) -> str:
        """What comparisons call the runtime's side."""
        return self.lowering.side(self.pipeline)

    def allowances(self, within: float) -> tuple[float | None, ...]:
        """How far the runtime may be from the reference, by leaf."""
        return allowances(self.converted, self.float_outputs, self.steps, within=within)


def comparisons_of(case: Case, sides: Sequence[Side]) -> Iterator[Comparison]:
    """Each runtime against its own reference, then the runtimes against one another where the case compares these."""
    for side in sides:
        yield numerics.compare(
            side.converted,
            side.lowered,
            at=LOWERED,
            names=(side.pipeline, side.name),
            tolerance=case.tolerance,
            steps=side.steps,
            allowances=side.allowances(case.within_steps),
        )
    if LOWERED not in case.compare:
        return
    for left, right in itertools.combinations(sides, 2):
        yield numerics.compare(
            left.lowered,
            right.lowered,
            at=LOWERED,
            names=(left.name, right.name),
            tolerance=case.tolerance,
            steps=coarser(left.steps, right.steps),
            allowances=_together(left.allowances(case.within_steps), right.allowances(case.within_steps)),
        )


def coarser(left: Sequence[float | None], right: Sequence[float | None]) -> list[float | None]:
    """The coarser of two outputs' quantization steps, so that a difference is not overstated."""
    return [
        max((step for step in pair if step is not None), default=None) for pair in itertools.zip_longest(left, right)
    ]


def _together(left: Sequence[float | None], right: Sequence[float | None]) -> list[float | None]:
    """What two sides may be apart that may each be so far from what they share."""
    pairs = itertools.zip_longest(left, right)
    return [sum(item for item in pair if item is not None) if any(pair) else None for pair in pairs]
