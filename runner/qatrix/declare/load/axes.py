"""Axes and their values, in suites, includes, excludes and conditions."""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from qatrix.declare.language import nearest
from qatrix.declare.language.text import listed
from qatrix.declare.load.registry import Registry
from qatrix.declare.load.runtimes import idle_runtimes
from qatrix.declare.load.training import idle_faults, lifecycle_faults, value_faults
from qatrix.declare.schema import Cursor
from qatrix.declare.schema.values import value_of
from qatrix.declare.spec import (
    RESERVED_AXES,
    TRAINING_AXES,
    CaptureMode,
    FloatDtype,
    Lifecycle,
    PatternSpec,
    QuantizerSpec,
)
from qatrix.declare.yamltext import data
from qatrix.errors import Problem
from qatrix.expressions import Value

_DIMS: Final = (1, 2, 3)
# Axes whose values are words of qatrix's own.
_WORDS: Final = {
    "dtype": typing.get_args(FloatDtype),
    "capture": typing.get_args(CaptureMode),
    "lifecycle": typing.get_args(Lifecycle),
}
# Axes whose values are names, and the sections that declare them.
_SECTIONS: Final = {
    "pattern": "patterns",
    "conv": "conv_kinds",
    "quantizer": "quantizers",
    "device": "devices",
    "runtime": "runtimes",
}
# All of them are in memory at once.
_MOST_BATCHES: Final = 10_000
_REQUIRED: Final = ("pattern", "quantizer")


class AxisReader:
    """Reads axes and checks them against what is declared."""

    def __init__(
        self, registry: Registry, patterns: Mapping[str, PatternSpec], quantizers: Mapping[str, QuantizerSpec]
    ) -> None:
        self._registry = registry
        self._patterns = patterns
        self._quantizers = quantizers

    def read(self, top: Cursor) -> dict[str, tuple[Value, ...]]:
        """Axis → its values; a single value counts as a list of one. `because` is no axis."""
        return {name: self._values(name, at) for name, at in top.members() if name != "because"}

    def check_product(self, axes: Mapping[str, tuple[Value, ...]], top: Cursor, *, spelled_out: bool) -> None:
        """Note what a product of axes lacks, and axes that none of its cases takes.

        Of a product that is `spelled_out`, an include, every case must take every training axis.
        """
        missing = [axis for axis in _REQUIRED if axis not in axes]
        for axis in missing:
            self._registry.note(_missing(axis, axes, top))
        self._registry.note(*idle_faults(axes, top, self._quantizers, spelled_out=spelled_out))
        self._registry.note(*lifecycle_faults(axes, top, self._quantizers))
        self._registry.note(*idle_runtimes(axes, top, self._quantizers))
        names = axes.get("pattern", ())
        patterns = [self._patterns[name] for name in names if isinstance(name, str) and name in self._patterns]
        if not names or len(patterns) < len(names):
            # What a broken pattern takes is not known.
            return
        takes_dim = [pattern.name for pattern in patterns if pattern.takes_dim]
        if takes_dim and "dim" not in axes:
            message = f"the axis 'dim' is missing, which pattern '{takes_dim[0]}' takes"
            self._registry.note(top.problem(message, expected="dim: 1, 2 or 3"))
        params = {param for pattern in patterns for param in pattern.params}
        for axis in axes:
            if axis not in RESERVED_AXES and axis not in params:
                self._unknown_axis(top.key(axis), axis, patterns=names, params=params)

    def check_known(self, axes: Iterable[str], top: Cursor, known: Collection[str]) -> None:
        """Note axes that are not among the suite's."""
        for axis in axes:
            if axis not in known:
                message = f"the suite has no axis '{axis}'"
                self._registry.note(top.key(axis).problem(message, expected=listed(known), hint=nearest(axis, known)))

    def _unknown_axis(self, at: Cursor, axis: str, *, patterns: Iterable[Value], params: Collection[str]) -> None:
        known = [*RESERVED_AXES, *params]
        of_them = " or ".join(f"'{name}'" for name in patterns)
        message = f"no parameter '{axis}' in pattern {of_them}"
        self._registry.note(at.problem(message, expected=listed(known), hint=nearest(axis, known)))

    def _values(self, axis: str, top: Cursor) -> tuple[Value, ...]:
        items = top.each()
        if not items:
            self._registry.note(top.problem(f"the axis '{axis}' has no values", expected="one value or more"))
        values = tuple(value_of(data(item.node)) for item in items)
        seen: set[tuple[type, Value]] = set()
        for value, item in zip(values, items):
            # 1 and true are equal in Python and different in a matrix.
            if (type(value), value) in seen:
                self._registry.note(item.warning(f"the axis '{axis}' has {item.found()} twice"))
            seen.add((type(value), value))
            self._check_value(axis, value, item)
        return values

    def _check_value(self, axis: str, value: Value, at: Cursor) -> None:
        if axis == "dim":
            if type(value) is not int or value not in _DIMS:
                self._registry.note(at.problem(f"dim is {at.found()}", expected="1, 2 or 3"))
        elif axis in _WORDS:
            known = _WORDS[axis]
            if value not in known:
                hint = nearest(value, known) if isinstance(value, str) else None
                self._registry.note(at.problem(f"{axis} is {at.found()}", expected=listed(known), hint=hint))
        elif axis == "dynamic_batch":
            if type(value) is not bool:
                self._registry.note(at.problem(f"dynamic_batch is {at.found()}", expected="true or false"))
        elif axis == "calibration_batches":
            if value != "all" and (type(value) is not int or not 0 <= value <= _MOST_BATCHES):
                expected = f"all, or a whole number from 0 to {_MOST_BATCHES:,}"
                self._registry.note(at.problem(f"calibration_batches is {at.found()}", expected=expected))
        elif axis in TRAINING_AXES:
            self._registry.note(*value_faults(axis, value, at))
        elif axis in _SECTIONS:
            self._registry.knows(_SECTIONS[axis], value, at)


def _missing(axis: str, axes: Iterable[str], top: Cursor) -> Problem:
    """That a required axis is not there; where another is spelled almost like it, at that one."""
    expected = f"{axis}: one or more names"
    for name in axes:
        if hint := nearest(name, [axis]):
            return top.key(name).problem(f"unknown axis '{name}'", expected=expected, hint=hint)
    return top.problem(f"the axis '{axis}' is missing", expected=expected)
