"""Suites become cases: the product of their axes, less what they exclude, plus what they include.

Lazy and in a fixed order: suites and axes as in the files, the last axis fastest, then the
includes. All matching of axis values is on their text in case ids, so that `1`, `1.0` and
`true` are three values.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from qatrix.claims import GraphCheck
from qatrix.declare.spec import RESERVED_AXES, Case, CheckUse, Matrix, PatternSpec, Rule, SuiteSpec
from qatrix.errors import Problem, Source
from qatrix.expressions import Value
from qatrix.outcomes import Dropped

# Axes that a suite may leave out; `dim` has no default, since no dimension is the usual one.
DEFAULTS: Final[Mapping[str, str]] = {"conv": "conv", "device": "cpu"}
_SAFE: Final = re.compile(r"[A-Za-z0-9_.+-]+")


def expand(matrix: Matrix) -> Iterator[Case | Dropped | Problem]:
    """Every case of a matrix, what was dropped on the way (by reason, with counts), and what is wrong.

    Holds one suite's ids at a time and never the cases themselves.
    """
    for suite in matrix.suites.values():
        yield from _SuiteExpansion(matrix, suite).run()


def value_text(value: Value) -> str:
    """An axis value as it stands in a case id: `true`, `null`, `1`, `0.1`, `3x1` for a tuple."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "x".join(map(value_text, value))
    return repr(value) if isinstance(value, float) else str(value)


def model_key(case: Case) -> str:
    """What the float model is: pattern, conv kind, dim, parameters; equal keys have equal weights and inputs."""
    parts = [case.pattern.name]
    if case.conv_kind is not None:
        parts.append(f"conv={case.conv_kind.name}")
    if case.dim is not None:
        parts.append(f"dim={case.dim}")
    return ",".join(parts + [f"{name}={value_text(case.params[name])}" for name in sorted(case.params)])


def file_name(case_id: str) -> str:
    """A case id as the name of a file."""
    return case_id.replace("/", "__")


class _SuiteExpansion:
    """One suite on its way to cases; counts what it drops."""

    def __init__(self, matrix: Matrix, suite: SuiteSpec) -> None:
        self._matrix = matrix
        self._suite = suite
        # Case id -> where it was declared; the sources are few and shared.
        self._seen: dict[str, Source] = {}
        self._merged: Counter[str] = Counter()
        self._excluded = [0] * len(suite.exclude)
        self._used = [False] * len(suite.checks)
        self._cases = 0

    def run(self) -> Iterator[Case | Dropped | Problem]:
        yield from self._product()
        for rule in self._suite.include:
            yield from self._included(rule)
        yield from self._closing()

    def _product(self) -> Iterator[Case | Problem]:
        suite = self._suite
        problems = list(_unsafe(suite.axes, suite.source)) + list(self._without_dim())
        yield from problems
        if problems or "pattern" not in suite.axes:
            return
        rules = [_by_text(rule.values) for rule in suite.exclude]
        names = tuple(suite.axes)
        texts = {name: {value_text(value): value for value in values} for name, values in suite.axes.items()}
        for point in itertools.product(*(texts[name] for name in names)):
            written = dict(zip(names, point))
            if self._is_excluded(written, rules):
                continue
            case = self._case({name: texts[name][text] for name, text in written.items()}, written, suite.source)
            if case.case_id in self._seen:
                self._merged[self._left_out(case.pattern)] += 1
                continue
            yield self._counted(case)

    def _is_excluded(self, written: Mapping[str, str], rules: Sequence[Mapping[str, frozenset[str]]]) -> bool:
        for number, rule in enumerate(rules):
            if all(written.get(axis, DEFAULTS.get(axis)) in values for axis, values in rule.items()):
                self._excluded[number] += 1
                return True
        return False

    def _included(self, rule: Rule) -> Iterator[Case | Problem]:
        suite = self._suite
        problems = list(_unsafe(rule.values, rule.source)) + list(self._incomplete(rule))
        yield from problems
        if problems:
            return
        ordered = [name for name in suite.axes if name in rule.values]
        names = (*ordered, *(name for name in rule.values if name not in suite.axes))
        for point in itertools.product(*(rule.values[name] for name in names)):
            values = dict(zip(names, point))
            case = self._case(values, {name: value_text(value) for name, value in values.items()}, rule.source)
            if case.case_id in self._seen:
                yield Problem(
                    source=rule.source,
                    message=f"the case {case.case_id} is declared twice",
                    at=f"suite '{suite.name}', include",
                    expected=f"a case of its own; the first declaration is at {self._seen[case.case_id]}",
                )
                continue
            yield self._counted(case)

    def _counted(self, case: Case) -> Case:
        self._seen[case.case_id] = case.source
        self._cases += 1
        return case

    def _case(self, values: Mapping[str, Value], written: Mapping[str, str], source: Source) -> Case:
        suite, matrix = self._suite, self._matrix
        pattern = matrix.patterns[str(values["pattern"])]
        taken = [name for name in values if _takes(pattern, name)]
        shown = [f"{name}={written[name]}" for name in taken if name != "pattern"]
        if "device" not in values:
            shown.append(f"device={DEFAULTS['device']}")
        dim = values.get("dim") if pattern.takes_dim else None
        case = Case(
            case_id=f"{suite.name}/{pattern.name}/{','.join(shown)}",
            suite=suite.name,
            axes={name: values[name] for name in taken} | {"device": values.get("device", DEFAULTS["device"])},
            pattern=pattern,
            params={**pattern.params, **{name: values[name] for name in taken if name not in RESERVED_AXES}},
            conv_kind=matrix.conv_kinds[str(values.get("conv", DEFAULTS["conv"]))] if pattern.takes_conv else None,
            dim=dim if isinstance(dim, int) else None,
            quantizer=matrix.quantizers[str(values["quantizer"])],
            device=matrix.devices[str(values.get("device", DEFAULTS["device"]))],
            pipelines=suite.pipelines,
            pipelines_because=suite.pipelines_because,
            compare=suite.compare if len(suite.pipelines) > 1 else (),
            tolerance=suite.tolerance,
            checks=(),
            convert_in=suite.convert_in,
            skip=suite.skip,
            seed=0,
            source=source,
        )
        return replace(case, checks=self._checks(case, written), seed=_seed(model_key(case)))

    def _checks(self, case: Case, written: Mapping[str, str]) -> tuple[GraphCheck, ...]:
        if not self._suite.checks:
            return ()
        known: dict[str, Value] = {
            **case.params,
            "dim": case.dim,
            "per_channel": case.quantizer.per_channel,
            "device": case.device.name,
        }
        return tuple(
            _bound(use, known)
            for number, use in enumerate(self._suite.checks)
            if self._applies(number, use, written)
        )

    def _applies(self, number: int, use: CheckUse, written: Mapping[str, str]) -> bool:
        fits = all(
            written.get(axis, DEFAULTS.get(axis)) in map(value_text, values) for axis, values in use.where.items()
        )
        self._used[number] = self._used[number] or fits
        return fits

    def _left_out(self, pattern: PatternSpec) -> str:
        """Why points of a pattern became equal."""
        names = [name for name in self._suite.axes if not _takes(pattern, name)]
        return f"pattern {pattern.name} does not take {' or '.join(names)}"

    def _without_dim(self) -> Iterator[Problem]:
        if "dim" in self._suite.axes:
            return
        for name in self._suite.axes.get("pattern", ()):
            if self._matrix.patterns[str(name)].takes_dim:
                yield Problem(
                    source=self._suite.source,
                    message=f"pattern '{name}' needs a dim, and the suite has no such axis",
                    at=f"suite '{self._suite.name}'",
                    expected="an axis dim: 1, 2 or 3, or a list of them",
                )

    def _incomplete(self, rule: Rule) -> Iterator[Problem]:
        at = f"suite '{self._suite.name}', include"
        for axis in ("pattern", "quantizer"):
            if axis not in rule.values:
                yield Problem(source=rule.source, message=f"the include names no {axis}", at=at, expected=f"a {axis}")
        for name in rule.values.get("pattern", ()):
            pattern = self._matrix.patterns[str(name)]
            if pattern.takes_dim and "dim" not in rule.values:
                yield Problem(
                    source=rule.source,
                    message=f"pattern '{name}' needs a dim, and the include names none",
                    at=at,
                    expected="dim: 1, 2 or 3, or a list of them",
                )
            for axis in rule.values:
                if not _takes(pattern, axis):
                    yield Problem(
                        source=rule.source,
                        message=f"pattern '{name}' does not take '{axis}'",
                        at=at,
                        expected=f"one of its parameters: {', '.join(pattern.params) or 'it has none'}",
                    )

    def _closing(self) -> Iterator[Dropped | Problem]:
        """What was dropped, and which rules did nothing, once the suite is through."""
        suite = self._suite
        for because, count in self._merged.items():
            yield Dropped(kind="merged", suite=suite.name, because=because, count=count, source=suite.source)
        for rule, count in zip(suite.exclude, self._excluded):
            if count:
                yield Dropped(kind="excluded", suite=suite.name, because=rule.because, count=count, source=rule.source)
            else:
                yield _stale(rule.source, f"suite '{suite.name}', exclude", "the exclude drops no point of the product")
        for use, used in zip(suite.checks, self._used):
            if not used and self._cases:
                yield _stale(use.source, f"suite '{suite.name}', check '{use.check.name}'", "no case of the suite is meant")
        if not self._cases and not any(True for rule in suite.include):
            yield Problem(
                source=suite.source,
                message=f"suite '{suite.name}' declares no case",
                expected="at least one point that no exclude drops",
            )


def _takes(pattern: PatternSpec, axis: str) -> bool:
    if axis == "conv":
        return pattern.takes_conv
    if axis == "dim":
        return pattern.takes_dim
    return axis in RESERVED_AXES or axis in pattern.params


def _bound(use: CheckUse, known: Mapping[str, Value]) -> GraphCheck:
    """A check for one case: its defaults, then the case's values, then what the suite's `with` says."""
    return replace(use.check, scope={**use.check.scope, **known, **use.with_})


def _seed(key: str) -> int:
    """31 bits of the key's hash: torch takes more, but this prints and types well."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") & 0x7FFFFFFF


def _by_text(values: Mapping[str, tuple[Value, ...]]) -> dict[str, frozenset[str]]:
    return {axis: frozenset(map(value_text, allowed)) for axis, allowed in values.items()}


def _unsafe(axes: Mapping[str, tuple[Value, ...]], source: Source) -> Iterator[Problem]:
    for axis, values in axes.items():
        for value in values:
            if not _SAFE.fullmatch(value_text(value)):
                yield Problem(
                    source=source,
                    message=f"the value {value_text(value)!r} of axis '{axis}' cannot stand in a case id",
                    expected="letters, digits, and the characters _ . + -",
                )


def _stale(source: Source, at: str, message: str) -> Problem:
    return Problem(source=source, message=f"{message}: it is stale, or misspelt", at=at, severity="warning")
