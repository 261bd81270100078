"""Pipelines that are not built in, as the stages take them: unknown code, held to what it promises."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol

import torch
from torch import nn

from qatrix.declare.spec import OwnPipeline, QuantizerSpec
from qatrix.outcomes import Origin
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.own_code import origin_of, own_attribute
from qatrix.pipelines.torchenv import PackageMissing
from qatrix.text import clipped, one_line

_WORD: Final = "pipeline"
# What it has to have; the rest it may have.
_METHODS: Final = ("prepare", "convert")
# What unknown code says goes into every report, on one line.
_MOST_OF_A_REASON: Final = 1000


class PipelineFault(Exception):
    """A pipeline of unknown code does what none may do; the message says what, and what was expected."""


class Plugin(Protocol):
    """What a class is that is a pipeline: made once for each quantizer, of its mode and what it says to the pipeline.

    It may have `inexpressible()`, `to_eval(model)`, `to_train(model)`, `disable_observers(model)`,
    `enable_observers(model)` and `freeze_batch_norms(model)` as well.
    """

    def __init__(self, mode: str, config: Mapping[str, Any]) -> None:
        """Raise where the mode or the configuration is none that it knows."""

    def prepare(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> nn.Module:
        """What is calibrated or trained, made of a float model of its own; args and kwargs are an example call."""

    def convert(self, model: nn.Module) -> nn.Module:
        """The quantized model, made of the prepared one."""


@dataclass(frozen=True)
class Plugged:
    """A pipeline that is not built in, for one run of one case."""

    name: str
    own: OwnPipeline
    _made: dict[str, Any] = field(default_factory=dict)

    def missing(self) -> str | None:
        """Why a registered one cannot be imported; what the user has allowed by its path is told where it is made."""
        if self.own.registration is None:
            return None
        try:
            self._class()
        except PackageMissing as error:
            return str(error)
        return None

    def lacks(self, quantizer: QuantizerSpec) -> str | None:
        """None: what it needs, it imports."""
        del quantizer
        return None

    def inexpressible(self, quantizer: QuantizerSpec) -> str | None:
        """Why it cannot express a quantizer, as far as it says so; what goes wrong here, does so in prepare again."""
        for part in quantizer.rounds:
            try:
                reason = getattr(self._plugin(part), "inexpressible", _nothing)()
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - the stage that makes it tells it
                return None
            if isinstance(reason, str):
                return clipped(one_line(reason), _MOST_OF_A_REASON)
        return None

    def integers(self, quantizer: QuantizerSpec) -> frozenset[tuple[Any, ...]]:
        """None are known."""
        del quantizer
        return frozenset()

    def quantizers(self, quantizer: QuantizerSpec) -> tuple[Origin, ...]:
        """None: whose the pipeline is, `origin` says."""
        del quantizer
        return ()

    def origin(self) -> Origin | None:
        """Whose the pipeline is, None where it cannot be imported."""
        try:
            return origin_of(self._class(), self.own.registration)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a module can raise anything; the case's own outcome says what
            return None

    def capture(
        self, model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True
    ) -> Callable[[], nn.Module]:
        """Makes copies of the model: one that exports it does so in prepare."""
        del inputs, dynamic_batch, strict
        return functools.partial(copy.deepcopy, model)

    def prepare(
        self, captured: nn.Module, inputs: Inputs, quantizer: QuantizerSpec, *, skip_modules: tuple[str, ...]
    ) -> nn.Module:
        """What it makes of the model to be calibrated or trained."""
        if skip_modules:
            msg = f"{self.name} cannot be told which classes to leave alone; expected a phase without skip_modules"
            raise PipelineFault(msg)
        given = inputs.copies()
        made = self._plugin(quantizer).prepare(captured, given.args, dict(given.kwargs))
        return self._module(made, "prepare")

    def disable_observers(self, prepared: nn.Module) -> None:
        """What its method of that name does; raises PipelineFault where it has none."""
        self._switch("disable_observers", prepared)

    def freeze_batch_norms(self, prepared: nn.Module) -> None:
        """What its method of that name does; raises PipelineFault where it has none."""
        self._switch("freeze_batch_norms", prepared)

    def enable_observers(self, prepared: nn.Module) -> None:
        """What its method of that name does; raises PipelineFault where it has none."""
        self._switch("enable_observers", prepared)

    def to_eval(self, prepared: nn.Module) -> None:
        """Switch a prepared model to evaluation, by its own method where it has one."""
        getattr(self._any_plugin(), "to_eval", nn.Module.eval)(prepared)

    def to_train(self, prepared: nn.Module) -> None:
        """Switch a prepared model back to training, by its own method where it has one."""
        getattr(self._any_plugin(), "to_train", nn.Module.train)(prepared)

    def convert(self, prepared: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
        """What it makes of the prepared model."""
        return self._module(self._plugin(quantizer).convert(prepared), "convert")

    def evaluation(self) -> AbstractContextManager[object]:
        """Without gradients."""
        return torch.no_grad()

    def reexport(self, converted: nn.Module, inputs: Inputs) -> nn.Module:
        """The quantized model, exported as a deployment would."""
        torchenv.reset_compiler()
        return torchenv.capture(converted, inputs, dynamic_batch=False)()

    def saved_and_loaded(self, converted: nn.Module, inputs: Inputs, *, dynamic_batch: bool) -> nn.Module:
        """The quantized model, exported, saved and loaded."""
        return torchenv.saved_and_loaded(converted, inputs, dynamic_batch=dynamic_batch)

    def _class(self) -> Any:
        return own_attribute((self.own.module, self.own.attribute), self.own.registration, _WORD)

    def _plugin(self, quantizer: QuantizerSpec) -> Any:
        """The pipeline for a quantizer, made once; raises PipelineFault where it is none, and what its code raises."""
        if quantizer.name not in self._made:
            make = self._class()
            missing = [name for name in _METHODS if not callable(getattr(make, name, None))]
            if missing or not callable(make):
                lacks = f"has no method {missing[0]}" if missing else "cannot be called"
                msg = f"{self._place} is no pipeline: it {lacks}; expected a class with {' and '.join(_METHODS)}"
                raise PipelineFault(msg)
            config = quantizer.settings.get(self.name, {})
            self._made[quantizer.name] = self._called(make, quantizer.mode, frozen(config))
        return self._made[quantizer.name]

    def _called(self, make: Any, mode: str, config: Any) -> Any:
        try:
            return make(mode, config)
        except TypeError as error:
            # One that it raises itself has more frames than the call.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            msg = f"{self._place} cannot be called with a mode and a configuration: {error}; expected a class that can"
            raise PipelineFault(msg) from error

    def _any_plugin(self) -> Any:
        return next(iter(self._made.values()), None)

    def _switch(self, name: str, prepared: nn.Module) -> None:
        switch = getattr(self._any_plugin(), name, None)
        if switch is None:
            msg = f"{self._place} has no method {name}; expected one, because the case switches them off or on"
            raise PipelineFault(msg)
        switch(prepared)

    def _module(self, made: object, method: str) -> nn.Module:
        if isinstance(made, nn.Module):
            return made
        kind = "nothing" if made is None else f"an object of {type(made).__module__}.{type(made).__qualname__}"
        msg = f"{method} of {self._place} returned {kind}; expected a torch.nn.Module"
        raise PipelineFault(msg)

    @property
    def _place(self) -> str:
        return f"{self.own.module}.{self.own.attribute}"


def _nothing() -> None:
    return None


def frozen(value: object) -> Any:
    """A declared value that nobody can change for the next case."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: frozen(item) for name, item in value.items()})
    return value
