"""Pipelines: declarations become torch objects, and models become quantized models.

A pipeline is a module behind the `Pipeline` protocol, or the `PIPELINE` of one, named in one
hand-written dict; the stages are the same for all, so that times and failures line up. In come `declare.spec`
values, out go `torch.nn` modules. `execute` alone times the stages and catches what they
raise; `torchenv` alone knows which name lives where in which torch release.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final, Protocol

import torch
from torch import nn

from qatrix.declare.spec import QuantizerSpec
from qatrix.outcomes import QuantizerOrigin
from qatrix.pipelines import fx, pt2e, pt2e_torch_ao, torchenv
from qatrix.pipelines.inputs import Inputs

# Dtypes with the least and the greatest integer that is used, None where that is left open.
Integers = frozenset[tuple[torch.dtype | None, int | None, int | None]]
# Makes a program of the captured model; each call gives one of its own, with weights of its own.
Capture = torchenv.Programs


class Pipeline(Protocol):
    """What a pipeline module offers; each function is one stage or one question about it."""

    def missing(self) -> str | None:
        """Why this environment lacks the pipeline, None where it is there."""

    def lacks(self, quantizer: QuantizerSpec) -> str | None:
        """Why this environment lacks what a quantizer needs, None where it is there; runs no unknown code."""

    def inexpressible(self, quantizer: QuantizerSpec) -> str | None:
        """Why the pipeline cannot express a quantizer, None where it can."""

    def integers(self, quantizer: QuantizerSpec) -> Integers:
        """The integers that a quantizer has for tensors; empty where it does not say."""

    def quantizers(self, quantizer: QuantizerSpec) -> tuple[QuantizerOrigin, ...]:
        """Whose quantizer classes it takes, as far as they can be imported; none where it takes none."""

    def capture(self, model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True) -> Capture:
        """The float model as the pipeline's programs; the first axis of every input is free if `dynamic_batch`.

        `strict` is for pipelines that export the model. Raises PackageMissing where that cannot be done here.
        """

    def prepare(
        self,
        captured: nn.Module,
        inputs: Inputs,
        quantizer: QuantizerSpec,
        *,
        skip_modules: tuple[str, ...],
    ) -> nn.Module:
        """The program with observers or fake quantizes in it; `skip_modules` names torch.nn classes to leave alone."""

    def disable_observers(self, prepared: nn.Module) -> None:
        """Keep the scales of a prepared program as they are from now on, in place; raises NotSwitched."""

    def freeze_batch_norms(self, prepared: nn.Module) -> None:
        """Let batch norms use their running statistics and keep them as they are, in place; raises NotSwitched."""

    def enable_observers(self, prepared: nn.Module) -> None:
        """Let the scales of a prepared program follow what it sees again, in place."""

    def to_eval(self, prepared: nn.Module) -> None:
        """Switch a prepared program from training to evaluation, in place."""

    def to_train(self, prepared: nn.Module) -> None:
        """Switch a prepared program that was switched to evaluation back to training, in place."""

    def convert(self, prepared: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
        """The quantized program, with quantize and dequantize ops of quantized_decomposed."""

    def evaluation(self) -> AbstractContextManager[object]:
        """What calibration and converted programs run in: without gradients, where that changes no number."""

    def reexport(self, converted: nn.Module, inputs: Inputs) -> nn.Module:
        """The quantized program captured once more, as a deployment would."""

    def saved_and_loaded(self, converted: nn.Module, inputs: Inputs, *, dynamic_batch: bool) -> nn.Module:
        """The quantized program as it comes back from a file; the first axis of every input is free if it was."""


# In the order in which they run and are shown; the names are those of claims.PipelineName.
PIPELINES: Final[Mapping[str, Pipeline]] = {"pt2e": pt2e.PIPELINE, "fx": fx, "pt2e_torch_ao": pt2e_torch_ao.PIPELINE}
