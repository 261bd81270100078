"""Pipelines that let others see, and change, each program at each point."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import fx, nn

from mutants.faults.fault import Fault, Point
from mutants.programs import Place, Program
from qatrix.judge.diagnosis.layout import Layout
from qatrix.pipelines import Pipeline

# Called with a program at a point, before anything else happens to it.
Tap = Callable[[Point, fx.GraphModule], None]


class NotPlanted(Exception):
    """A fault could not be planted where the survey had found a place for it."""


class Tapped:
    """A real pipeline whose programs are handed to taps on their way."""

    def __init__(self, pipeline: Pipeline, *taps: Tap) -> None:
        self._pipeline = pipeline
        self._taps = taps
        self._is_calibrated = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def prepare(self, *args: Any, **kwargs: Any) -> nn.Module:
        """The real pipeline's program, tapped."""
        self._is_calibrated = False
        return self._tapped("prepared", self._pipeline.prepare(*args, **kwargs))

    def to_eval(self, prepared: nn.Module) -> None:
        """As the real pipeline does it, of a program that is tapped before."""
        self._calibrated(prepared)
        self._pipeline.to_eval(prepared)

    def convert(self, prepared: nn.Module, *args: Any) -> nn.Module:
        """The real pipeline's program, tapped; what it is made of is tapped before, unless it was on its way there."""
        self._calibrated(prepared)
        return self._tapped("converted", self._pipeline.convert(prepared, *args))

    def _calibrated(self, prepared: nn.Module) -> None:
        if not self._is_calibrated:
            self._is_calibrated = True
            self._tapped("calibrated", prepared)

    def _tapped(self, point: Point, program: nn.Module) -> nn.Module:
        assert isinstance(program, fx.GraphModule)
        for tap in self._taps:
            tap(point, program)
        return program


def places_of(fault: Fault, program: Program) -> Mapping[str, Place]:
    """Where there is room for a fault, by layer; of several places in one layer the first."""
    found: dict[str, Place] = {}
    for place in fault.find(program):
        found.setdefault(place.layer, place)
    return found


@dataclass(frozen=True)
class Survey:
    """A tap that notes for which faults a program has room, and which layers it computes as one."""

    layout: Layout
    faults: Sequence[Fault]
    layers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kin: dict[str, frozenset[str]] = field(default_factory=dict)

    def __call__(self, point: Point, program: fx.GraphModule) -> None:
        """Look, and change nothing."""
        seen = Program(program, self.layout)
        for fault in self.faults:
            if fault.point == point:
                self.layers[fault.name] = tuple(places_of(fault, seen))
        for site in self.layout.sites.values():
            self.kin[site.name] = self.kin.get(site.name, frozenset()) | seen.kin(site.name)


@dataclass
class Plant:
    """A tap that plants a fault at a layer, and keeps whether it could: what it raises looks like a pipeline's."""

    layout: Layout
    fault: Fault
    layer: str
    count: int = 0
    error: Exception | None = None

    def __call__(self, point: Point, program: fx.GraphModule) -> None:
        """Change the program."""
        if point != self.fault.point:
            return
        try:
            places_of(self.fault, Program(program, self.layout))[self.layer].plant()
        except Exception as error:
            self.error = error
            raise
        self.count += 1

    def demand(self) -> None:
        """Raise NotPlanted unless the fault was planted, and every time."""
        if self.error is not None or not self.count:
            why = "its point was not reached" if self.error is None else f"{type(self.error).__name__}: {self.error}"
            msg = f"{self.fault.name} could not be planted at {self.layer}: {why}"
            raise NotPlanted(msg) from self.error


@dataclass
class Kept:
    """A tap that keeps what a pipeline makes first: the converted program, and if `whole` a copy of the prepared one.

    The copy is from before it is converted. Later programs are those of a diagnosis.
    """

    whole: bool
    prepared: fx.GraphModule | None = None
    converted: fx.GraphModule | None = None

    def __call__(self, point: Point, program: fx.GraphModule) -> None:
        """Keep a program."""
        if self.whole and point == "calibrated" and self.prepared is None:
            self.prepared = copy.deepcopy(program)
        elif point == "converted" and self.converted is None:
            self.converted = program


def tapped(pipelines: Mapping[str, Pipeline], taps: Mapping[str, Sequence[Tap]]) -> Mapping[str, Pipeline]:
    """The pipelines, each with its taps."""
    return dict(_tapped(pipelines, taps))


def _tapped(pipelines: Mapping[str, Pipeline], taps: Mapping[str, Sequence[Tap]]) -> Iterator[tuple[str, Pipeline]]:
    for name, pipeline in pipelines.items():
        yield name, Tapped(pipeline, *taps[name]) if name in taps else pipeline
