"""Runtimes: converted models become what is deployed, and run there.

A runtime is a module with a function `runtime(options)`, named in the table `qatrix.runtimes.BUILT_IN`; or a class of
a distribution's or of the user's own, which `Plugged` puts behind the same protocol. `execute` alone times the stages
and catches what they raise.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Final, Protocol

from torch import nn

from qatrix.declare.spec import QuantizerSpec, RuntimeUse
from qatrix.lowerings import Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.runtimes import Takes

# It needs what is below here.
_PLUGGED: Final = "qatrix.pipelines.runtimes.plugged"


@dataclass(frozen=True, kw_only=True)
class Program:
    """What a runtime lowers: a converted program, or a prepared one for runtimes that convert it themselves.

    `inputs` are an example call of it. The first axis of every input is free if `dynamic_batch`. A runtime leaves
    the module as it is. `case_id` is the case that it is of, empty for a part of a case's program.
    """

    module: nn.Module
    inputs: Inputs
    quantizer: QuantizerSpec
    dynamic_batch: bool = False
    case_id: str = ""


class Lowered(Protocol):
    """A model in its runtime."""

    def run(self, inputs: Inputs) -> object:
        """Its outputs, in the structure in which the program gives them."""

    def ran(self) -> Ran:
        """What ran where, by the runtime's own account; asked after the first run."""


class Runtime(Protocol):
    """What a runtime's module offers."""

    def missing(self) -> str | None:
        """Why this environment lacks the runtime, with what to install; None where it is there."""

    def version(self) -> str | None:
        """The version of the package that it comes from, None where that is torch itself or not known."""

    def lower(self, program: Program) -> Lowered:
        """The program as it is deployed. Raises PackageMissing, and whatever the runtime's own tools raise."""


def runtime_of(use: RuntimeUse) -> Runtime:
    """The runtime that a case names, told its options; nothing of it is imported beyond its module here.

    Code of the user's own is not even that: it is imported where the runtime is asked something.
    """
    if use.built_in is None:
        plugged: Any = importlib.import_module(_PLUGGED)
        own: Runtime = plugged.Plugged(use)
        return own
    module: Any = importlib.import_module(use.built_in.module)
    made: Runtime = module.runtime(use.options)
    return made


__all__ = ["Lowered", "Program", "Runtime", "Takes", "runtime_of"]
