"""Where converted models run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qatrix.declare.spec.registrations import Registration, Settings, place_of
from qatrix.errors import Source
from qatrix.runtimes import BUILT_IN, BuiltIn, Takes


@dataclass(frozen=True, kw_only=True)
class RuntimeUse:
    """A runtime and how it is told to run: one that is built in, one that a distribution registers, or a dotted path.

    `options` has every option of a built-in one; others are told what the YAML says.
    """

    runtime: str
    options: Settings
    registration: Registration | None = None

    @property
    def built_in(self) -> BuiltIn | None:
        """What is known of it, None where it is none of qatrix's own table."""
        return BUILT_IN.get(self.runtime)

    @property
    def place(self) -> tuple[str, str]:
        """The module and the attribute of one that is not built in."""
        return place_of(self.runtime, self.registration)

    @property
    def takes(self) -> Takes:
        """What it lowers; unknown code gets the converted program."""
        return "converted" if self.built_in is None else self.built_in.takes

    @property
    def computes_in_integers(self) -> bool:
        """Whether what is quantized is meant to run in integers there; of unknown code, nobody knows."""
        return self.built_in is not None and self.built_in.computes_in_integers


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec:
    """Where a case's converted models run: for each pipeline, by its name, the runtime; others are not lowered."""

    name: str
    about: str
    uses: Mapping[str, RuntimeUse]
    source: Source

    @property
    def runs_own_code(self) -> bool:
        """Whether any runtime is code that qatrix does not know, which can do anything to its process."""
        return any(use.built_in is None for use in self.uses.values())
