"""One pipeline's way through its stages: timed, caught, and observed on the way."""

from __future__ import annotations

import copy
import inspect
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from torch import nn

from qatrix.declare.spec import Case, PhaseSpec, QuantizerSpec
from qatrix.execute import isolation
from qatrix.execute.captures import Captures, captured_of
from qatrix.execute.passes import forward, set_training
from qatrix.execute.training import FloatNames, state_of, train
from qatrix.outcomes import ErrorReport, PipelineOutcome, StageTime
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
        """


# Runs a program on inputs and returns its outputs.
Run = Callable[[nn.Module, Inputs], object]


class StageFailed(Exception):
    """A stage raised; carries its name and the original exception as `__cause__`."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage


@dataclass
class StageClock:
    """Times stages by name; a stage that runs in several phases adds up."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # Both pipelines and torch itself warn of deprecations at every call.
                warnings.simplefilter("ignore")
                yield
        except BaseException as error:
            isolation.let_ctrl_c_through(error)
            raise StageFailed(stage) from error
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def times(self) -> tuple[StageTime, ...]:
        """The stages in the order in which they first ran."""
        return tuple(StageTime(name=name, seconds=seconds) for name, seconds in self.seconds.items())


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
    way = _Way(
        case=case,
        name=name,
        pipeline=pipeline,
        batches=batches,
        observe=observe,
        run=run or forward,
        captures=captures or Captures(),
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
            self._calibrate(phase, model, names, observed=phase is phases[-1])
            if phase is phases[-1]:
                self._train(model, names)
            model = _replaced(model, self._converted(phase, _parts(model, targets)))
        with self.pipeline.evaluation():
            with self.clock("quantized_forward"):
                outputs = self.run(model, self.batches.first)
            self.observe("convert", model, outputs)
        if any(check.at == "reexport" for check in self.case.checks):
            with self.clock("reexport"):
                again = self.pipeline.reexport(model, self.batches.first)
            self.observe("reexport", again, None)

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

    def _train(self, program: nn.Module, names: FloatNames) -> None:
        if self.case.training is None:
            return
        with self.clock("train"):
            trained = train(
                self.case,
                self.case.training,
                program=program,
                pipeline=self.pipeline,
                inputs=self.batches.first,
                names=names,
            )
        self.observe("train", program, trained)

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
