"""Runtimes that are not built in, as the stages take them: unknown code, held to what it promises."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import torch
from torch import nn

from qatrix.declare.spec import RuntimeUse
from qatrix.lowerings import Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.own_code import origin_of, own_attribute
from qatrix.pipelines.plugged import frozen
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.accounts import RuntimeFault, ran_of
from qatrix.pipelines.torchenv import PackageMissing
from qatrix.text import clipped, one_line

_WORD: Final = "runtime"
# What unknown code says goes into every report, on one line.
_MOST_OF_A_REASON: Final = 1000


class Plugin(Protocol):
    """What a class is that is a runtime: made once for each case and pipeline, of its options.

    It may have `missing()` as well, which says what this environment lacks, or None. What it gives may have `ran()`,
    which says what ran where, as `accounts.ran_of` reads it.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raise where an option is none that it knows."""

    def lower(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
        """What runs a converted program, called as the program is; args and kwargs are an example call.

        The program is a copy of its own.
        """


@dataclass(frozen=True)
class PluggedModel:
    """What a runtime of unknown code made of a program; `place` is where its class stands."""

    model: Callable[..., Any]
    place: str

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        with torch.no_grad():
            return inputs.call(self.model)

    def ran(self) -> Ran:
        """What ran where, as far as it says; raises RuntimeFault where that cannot be read."""
        account = getattr(self.model, "ran", None)
        return Ran() if account is None else ran_of(account(), f"ran of what {self.place} lowered")


@dataclass(frozen=True)
class Plugged:
    """A runtime that is not built in, for one pipeline of one case."""

    use: RuntimeUse
    _made: list[Any] = field(default_factory=list)

    def missing(self) -> str | None:
        """Why this environment lacks it: it cannot be imported though it is registered, or says so itself.

        What else goes wrong here does so in `lower` again, which tells it.
        """
        try:
            reason = getattr(self._plugin(), "missing", _nothing)()
        except PackageMissing as error:
            return str(error)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - the stage that lowers tells it
            return None
        return clipped(one_line(reason), _MOST_OF_A_REASON) if isinstance(reason, str) else None

    def version(self) -> str | None:
        """The version of the distribution that its class comes from, None where that is not known."""
        try:
            return origin_of(self._class(), self.use.registration).version
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a module can raise anything; `lower` says what
            return None

    def lower(self, program: Program) -> PluggedModel:
        """What its method of that name gives. Raises PackageMissing, RuntimeFault, and what its code raises."""
        given = program.inputs.copies()
        made = self._plugin().lower(copy.deepcopy(program.module), given.args, dict(given.kwargs))
        if callable(made):
            return PluggedModel(made, self._place)
        kind = "nothing" if made is None else f"an object of {type(made).__module__}.{type(made).__qualname__}"
        msg = f"lower of {self._place} returned {kind}; expected a torch.nn.Module, or something else to call"
        raise RuntimeFault(msg)

    def _class(self) -> Any:
        return own_attribute(self.use.place, self.use.registration, _WORD)

    def _plugin(self) -> Any:
        """The runtime, made once; raises RuntimeFault where it is none, and what its code raises."""
        if not self._made:
            make = self._class()
            if not callable(make) or not callable(getattr(make, "lower", None)):
                lacks = "has no method lower" if callable(make) else "cannot be called"
                msg = f"{self._place} is no runtime: it {lacks}; expected a class with lower"
                raise RuntimeFault(msg)
            self._made.append(self._called(make))
        return self._made[0]

    def _called(self, make: Any) -> Any:
        try:
            return make(frozen(self.use.options))
        except TypeError as error:
            # One that it raises itself has more frames than the call.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            msg = f"{self._place} cannot be called with its options: {error}; expected a class that can"
            raise RuntimeFault(msg) from error

    @property
    def _place(self) -> str:
        return ".".join(self.use.place)


def _nothing() -> None:
    return None
