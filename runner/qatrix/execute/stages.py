"""One pipeline's way through its stages: timed, caught, and observed on the way."""

from __future__ import annotations

import copy
import inspect
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from torch import nn

from qatrix.declare.spec import Case, PhaseSpec, QuantizerSpec
from qatrix.execute.captures import Captures, captured_of
from qatrix.execute.clock import StageClock, StageFailed
from qatrix.execute.deployment import Deployment
from qatrix.execute.lifecycles import Faults, Life, Moment
from qatrix.execute.passes import forward, set_training
from qatrix.execute.steps import steps_of
from qatrix.execute.training import FloatNames, state_of, train
from qatrix.outcomes import LOWERED, REPEATED, ErrorReport, PipelineOutcome
from qatrix.pipelines import Capture, Pipeline
from qatrix.pipelines.inputs import Batches, Inputs
from qatrix.pipelines.late_code import through_passes, unwritten
from qatrix.pipelines.models import build_model
from qatrix.pipelines.parts import with_paths
from qatrix.pipelines.torchenv import PackageMissing
from qatrix.text import clipped, name_of, told, words_of

# Errors can have any length; a record with longer ones could not be kept.
_LONGEST_TEXT: Final = 500_000


class Observer(Protocol):
    """Who looks at a pipeline's program at a point, before a later stage changes it in place."""

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        """See the program at "prepare", "convert" or "reexport", with its outputs where it was run.

        At "prepare" there are no outputs where nothing calibrates. At "train", and at "calibrate" where
        the batches after the first have trained batch norms, the outputs are a `training.Trained`.
        At "repeat" they are those of several calls, at "lifecycle" the `lifecycles.Faults`, at "lowered" a
        `deployment.Deployed`. At "evaluating" a program is about to be evaluated between training steps, at
        "evaluated" it was.
        """


# Runs a program on inputs and returns its outputs.
Run = Callable[[nn.Module, Inputs], object]


@dataclass(frozen=True, kw_only=True)
class Target:
    """What one phase works on: the whole model (path "") or a submodule, and its inputs."""

    path: str
    module: nn.Module
    inputs: Inputs


def run_stages(
    case: Case,
    name: str,
    pipeline: Pipeline,
    batches: Batches,
    observe: Observer,
    *,
    captures: Captures | None = None,
    run: Run | None = None,
) -> PipelineOutcome:
    """Take the case through one pipeline; what it raises is in the outcome.

    `captures` holds those of earlier cases. `run` is what runs the prepared and the
    converted program, `forward` unless told otherwise.
    """
    absent = pipeline.missing() or pipeline.lacks(case.quantizer)
    if absent is not None:
        return PipelineOutcome(pipeline=name, status="unavailable", reason=absent)
    reason = pipeline.inexpressible(case.quantizer)
    if reason is not None:
        return PipelineOutcome(pipeline=name, status="inexpressible", reason=reason)
    deployment = Deployment.of(case, name)
    absent = None if deployment is None else deployment.runtime.missing()
    if absent is not None:
        return PipelineOutcome(pipeline=name, status="unavailable", reason=absent)
    way = _Way(
        case=case,
        name=name,
        pipeline=pipeline,
        batches=batches,
        observe=observe,
        run=run or forward,
        captures=captures or Captures(),
        life=Life(case=case, pipeline=pipeline, batches=batches),
        deployment=deployment,
    )
    outcome = PipelineOutcome(pipeline=name, status="ok")
    try:
        way.go()
    except StageFailed as failure:
        outcome = _failed(outcome, failure)
    return replace(
        outcome, stages=way.clock.times(), quantizers=pipeline.quantizers(case.quantizer), origin=pipeline.origin()
    )


def _failed(outcome: PipelineOutcome, failure: StageFailed) -> PipelineOutcome:
    error = failure.__cause__
    if isinstance(error, PackageMissing):
        return replace(outcome, status="unavailable", reason=str(error))
    return replace(outcome, status="failed", failed_stage=failure.stage, error=report_error(error))


def report_error(error: BaseException | None) -> ErrorReport:
    """An exception as text, whatever its own code does when it is asked."""
    return ErrorReport(
        type=name_of(error),
        message=clipped(words_of(error), _LONGEST_TEXT),
        # Of a traceback the last lines matter most.
        traceback=_traceback(error)[-_LONGEST_TEXT:],
    )


def _traceback(error: BaseException | None) -> str:
    try:
        return "".join(traceback.format_exception(error)) if error is not None else ""
    except BaseException as fault:  # noqa: BLE001 - its notes and its causes are foreign code, too
        return f"its traceback cannot be shown: {told(fault)}"


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One case's way through one pipeline."""

    case: Case
    name: str
    pipeline: Pipeline
    batches: Batches
    observe: Observer
    run: Run
    captures: Captures
    life: Life
    deployment: Deployment | None
    clock: StageClock = field(default_factory=StageClock)

    def go(self) -> None:
        """All stages; raises StageFailed."""
        with self.clock("build"):
            model = build_model(self.case).to(self.case.device.torch)
            quantizer = with_paths(self.case.quantizer, model)
        phases = quantizer.phases or (_whole(quantizer),)
        for phase in phases:
            with self.clock("build"):
                set_training(model, phase.quantizer.mode == "qat")
                targets = _targets(model, phase, self.batches.first)
            # What a later phase captures is no longer the declared model alone.
            captures = self.captures if phase is phases[0] else Captures()
            with self.clock("capture"):
                captured = {target.path: unwritten(self._captured(phase, target, captures)) for target in targets}
                names = FloatNames(captured.values())
            model = _replaced(model, self._prepared(phase, targets, captured))
            prepared, model = model, self._lived("prepared", model)
            names = names.of_copy(prepared, model)
            self._calibrate(phase, model, names, observed=phase is phases[-1])
            if phase is phases[-1]:
                model = self._lived("ready", self._trained(model, names))
            model = _replaced(model, self._converted(phase, _parts(model, targets)))
        model = self._lived("converted", model)
        with self.pipeline.evaluation():
            self._evaluate(model)
        if self.case.lifecycle != "none":
            self.observe("lifecycle", model, Faults(found=tuple(self.life.faults)))
        if any(check.at == "reexport" for check in self.case.checks):
            with self.clock("reexport"):
                again = self.pipeline.reexport(model, self.batches.first)
            self.observe("reexport", again, None)
        if self.deployment is not None:
            deployed = self.deployment.go(model, self.batches.first, self.clock)
            self.observe(LOWERED, model, deployed)

    def _lived(self, moment: Moment, program: nn.Module) -> nn.Module:
        """The program to go on with after what the case's lifecycle does with it at a moment."""
        step = self.life.step(moment)
        if step is None:
            return program
        with self.clock(self.case.lifecycle):
            return step(program)

    def _evaluate(self, program: nn.Module) -> None:
        with self.clock("quantized_forward"):
            outputs = self.run(program, self.batches.first)
        calls = None
        if self.case.lifecycle == REPEATED:
            with self.clock(REPEATED):
                calls = self.life.calls(program, outputs)
        self.observe("convert", program, outputs if calls is None else calls[0])
        if calls is not None:
            self.observe(REPEATED, program, calls)

    def _calibrate(self, phase: PhaseSpec, program: nn.Module, names: FloatNames, *, observed: bool) -> None:
        """Run a prepared program on the batches: the first, which is compared where it is `observed`, then the rest."""
        outputs = None
        if self.batches.calibrates:
            with self.clock("forward"), self._mode(phase):
                outputs = self.run(program, self.batches.first)
        if observed:
            self.observe("prepare", program, outputs)
        if not self.batches.more:
            return
        with self.clock("forward"), self._mode(phase):
            for batch in self.batches.more:
                forward(program, batch)
        if observed:
            # Only in training does a forward pass change what the float model has, too.
            moved = state_of(program, names) if phase.quantizer.mode == "qat" else None
            self.observe("calibrate", program, moved)

    def _mode(self, phase: PhaseSpec) -> AbstractContextManager[object]:
        """Forward passes of training keep what a backward pass needs; calibration is as evaluation."""
        return nullcontext() if phase.quantizer.mode == "qat" else self.pipeline.evaluation()

    def _trained(self, program: nn.Module, names: FloatNames) -> nn.Module:
        """The program to go on with after the optimizer's steps, if the case makes any."""
        case, inputs = self.case, self.batches.first
        if case.training is None:
            return program
        with self.clock("train"):
            steps = steps_of(case, program, self.pipeline, inputs, self.clock, self.observe)
            trained = train(case, case.training, steps=steps, pipeline=self.pipeline, inputs=inputs, names=names)
            self.life.faults.extend(steps.faults())
        self.observe("train", program, trained)
        return steps.result()

    def _prepared(
        self, phase: PhaseSpec, targets: tuple[Target, ...], captured: Mapping[str, nn.Module]
    ) -> Mapping[str, nn.Module]:
        with self.clock("prepare"):
            return {
                target.path: through_passes(
                    self.pipeline.prepare,
                    captured[target.path],
                    target.inputs,
                    phase.quantizer,
                    skip_modules=phase.skip_modules,
                )
                for target in targets
            }

    def _captured(self, phase: PhaseSpec, target: Target, captures: Captures) -> Capture:
        dynamic = phase.dynamic_batch or self.case.dynamic_batch
        key = captured_of(
            self.case,
            self.name,
            path=target.path,
            training=phase.quantizer.mode == "qat",
            dynamic_batch=dynamic,
        )
        strict = self.case.capture == "strict"
        return captures.get(
            key, lambda: self.pipeline.capture(target.module, target.inputs, dynamic_batch=dynamic, strict=strict)
        )

    def _converted(self, phase: PhaseSpec, parts: Mapping[str, nn.Module]) -> Mapping[str, nn.Module]:
        with self.clock("convert"):
            return {path: through_passes(self._converted_part, phase, part) for path, part in parts.items()}

    def _converted_part(self, phase: PhaseSpec, part: nn.Module) -> nn.Module:
        if phase.quantizer.mode == "qat" and self.case.convert_in == "eval":
            self.pipeline.to_eval(part)
        if self.deployment is not None:
            self.deployment.note_prepared(part)
        return self.pipeline.convert(part, phase.quantizer)


def _whole(quantizer: QuantizerSpec) -> PhaseSpec:
    return PhaseSpec(quantizer=quantizer, submodules=(), dynamic_batch=False, skip_modules=(), source=quantizer.source)


def _targets(model: nn.Module, phase: PhaseSpec, inputs: Inputs) -> tuple[Target, ...]:
    if not phase.submodules:
        return (Target(path="", module=model, inputs=inputs),)
    seen = _inputs_of(copy.deepcopy(model), phase.submodules, inputs)
    return tuple(Target(path=path, module=model.get_submodule(path), inputs=seen[path]) for path in phase.submodules)


def _inputs_of(model: nn.Module, paths: tuple[str, ...], inputs: Inputs) -> Mapping[str, Inputs]:
    """What each submodule is called with when the model runs on the inputs; the model is used up."""
    seen: dict[str, Inputs] = {}

    def note(path: str, takes: inspect.Signature) -> Callable[..., None]:
        def noted(_: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            # In the order of its parameters, however the model calls it.
            given = takes.bind(*args, **kwargs)
            seen[path] = Inputs(given.args, given.kwargs).map(lambda tensor: tensor.detach().clone())

        return noted

    for path in paths:
        module = model.get_submodule(path)
        module.register_forward_pre_hook(note(path, inspect.signature(module.forward)), with_kwargs=True)
    forward(model, inputs)
    missing = [path for path in paths if path not in seen]
    if missing:
        msg = f"the model never calls its submodule {missing[0]}"
        raise ValueError(msg)
    return seen


def _parts(model: nn.Module, targets: tuple[Target, ...]) -> Mapping[str, nn.Module]:
    return {target.path: model.get_submodule(target.path) for target in targets}


def _replaced(model: nn.Module, parts: Mapping[str, nn.Module]) -> nn.Module:
    """The model with the parts in their places; a part at path "" is the model."""
    for path, part in parts.items():
        if not path:
            return part
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, part)
    return model
