"""What users do with programs on their way beside quantizing them: copy, save and load them, each to go on with."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor, nn

from qatrix.declare.spec import Case, Lifecycle, QuantizerSpec
from qatrix.execute.passes import forward, kept, set_training
from qatrix.pipelines import Pipeline
from qatrix.pipelines.inputs import Batches
from qatrix.pipelines.late_code import through_passes, unwritten
from qatrix.pipelines.models import build_model

# Where a step is taken: behind prepare, before convert, behind convert.
Moment = Literal["prepared", "ready", "converted"]
# How often a converted program is called, with the state that the call before has left.
CALLS: Final = 3
# How far every weight of a model may be moved to make it another one.
_MOVED: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What is wrong with a lifecycle's step by itself, in words, whatever the program gives afterwards."""

    found: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Life:
    """One pipeline's way through a case's lifecycle, with what its steps need; `faults` grows on the way."""

    case: Case
    pipeline: Pipeline
    batches: Batches
    faults: list[str] = field(default_factory=list)

    def step(self, moment: Moment) -> Callable[[nn.Module], nn.Module] | None:
        """What is done with the program at a moment, None where it is left alone; returns what to go on with."""
        taken = _STEPS.get((self.case.lifecycle, moment))
        return None if taken is None else lambda program: taken(self, program)

    def calls(self, program: nn.Module, first: object) -> tuple[object, ...]:
        """What a converted program gives in several calls, of which the first was made."""
        rest = (kept(forward(program, self.batches.first)) for _ in range(CALLS - 1))
        return (kept(first), *rest)

    def copied(self, program: nn.Module) -> nn.Module:
        """A deep copy."""
        made = copy.deepcopy(program)
        self.faults.extend(f"the copy and the original share {name}" for name in shared_tensors(program, made))
        return made

    def saved(self, program: nn.Module) -> nn.Module:
        """What the pipeline saves and loads."""
        return self.pipeline.saved_and_loaded(program, self.batches.first, dynamic_batch=self.case.dynamic_batch)

    def prepared_anew(self, program: nn.Module) -> nn.Module:
        """A program of other weights that is prepared now, with the state that the given one has reached."""
        return _with_state_of(program, self._prepared())

    def converted_anew(self, program: nn.Module) -> nn.Module:
        """A program of other weights that is calibrated and converted now, with the state of the given one."""
        fresh = self._prepared()
        with self._mode():
            for batch in self.batches.calibrating:
                forward(fresh, batch)
        if self._quantizer.mode == "qat" and self.case.convert_in == "eval":
            self.pipeline.to_eval(fresh)
        return _with_state_of(program, through_passes(self.pipeline.convert, fresh, self._quantizer))

    @property
    def _quantizer(self) -> QuantizerSpec:
        return self.case.quantizer

    def _mode(self) -> AbstractContextManager[object]:
        return nullcontext() if self._quantizer.mode == "qat" else self.pipeline.evaluation()

    def _prepared(self) -> nn.Module:
        case, inputs = self.case, self.batches.first
        model = disturbed(build_model(case), case.seed + 1).to(case.device.torch)
        set_training(model, self._quantizer.mode == "qat")
        strict = case.capture == "strict"
        capture = self.pipeline.capture(model, inputs, dynamic_batch=case.dynamic_batch, strict=strict)
        return through_passes(self.pipeline.prepare, unwritten(capture), inputs, self._quantizer, skip_modules=())


_STEPS: Final[Mapping[tuple[Lifecycle, Moment], Callable[[Life, nn.Module], nn.Module]]] = {
    ("deepcopy", "prepared"): Life.copied,
    ("deepcopy", "converted"): Life.copied,
    ("checkpoint", "ready"): Life.prepared_anew,
    ("state_dict", "converted"): Life.converted_anew,
    ("save_load", "converted"): Life.saved,
}


def shared_tensors(program: nn.Module, other: nn.Module) -> list[str]:
    """The parameters and buffers of a program whose memory another program has, too."""
    taken = {place for _, place in _places(other)}
    return [name for name, place in _places(program) if place in taken]


def disturbed(model: nn.Module, seed: int) -> nn.Module:
    """The model with other numbers wherever its state dict has any; variances stay positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                tensor.add_(_MOVED * torch.rand(tensor.shape, generator=generator).to(tensor))
    return model


def _places(program: nn.Module) -> list[tuple[str, int]]:
    """Where the memory of its parameters and buffers begins; what is empty has none."""
    named = (*program.named_parameters(), *program.named_buffers())
    return [(name, tensor.untyped_storage().data_ptr()) for name, tensor in named if tensor.numel()]


def _with_state_of(program: nn.Module, fresh: nn.Module) -> nn.Module:
    """The fresh program with the state dict of another one, as it comes out of a file."""
    file = io.BytesIO()
    torch.save(program.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    return fresh
