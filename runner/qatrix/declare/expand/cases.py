"""Points become cases."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, NamedTuple, TypeAlias, TypeVar, cast

from qatrix.claims import ComparisonPoint, GraphCheck, Quantizes
from qatrix.declare.expand.names import DEFAULTS, seed_of, takes, value_text, why_no_lifecycle, why_no_runtime
from qatrix.declare.expand.points import Block
from qatrix.declare.spec import (
    RESERVED_AXES,
    Case,
    CheckUse,
    ConvKind,
    Lifecycle,
    Matrix,
    PatternSpec,
    QuantizerSpec,
    Rule,
    RuntimeSpec,
    SuiteSpec,
    Training,
)
from qatrix.expressions import Value
from qatrix.outcomes import LOWERED


@dataclass
class Used:
    """The numbers of a suite's checks, and of its rules of what quantizes nothing, that fit a case."""

    checks: set[int] = field(default_factory=set)
    nothing: set[int] = field(default_factory=set)


class CaseMaker:
    """Declares and makes the cases of one pattern in one block; whatever no axis changes is worked out once.

    `idle` are the training axes that these cases do not take. Adds to `used` what of the suite a declared case gets.
    """

    def __init__(
        self,
        matrix: Matrix,
        suite: SuiteSpec,
        *,
        block: Block,
        pattern: PatternSpec,
        idle: tuple[str, ...],
        used: Used,
    ) -> None:
        self._matrix = matrix
        self._suite = suite
        self._pattern = pattern
        self._source = block.source
        self._prefix = f"{suite.name}/{pattern.name}/"
        names = block.names
        self._position = {
            name: position for position, name in enumerate(names) if takes(pattern, name) and name not in idle
        }
        self._taken = tuple(name in self._position for name in names)
        self._shown = tuple(name in self._position and name != "pattern" for name in names)
        self._params = tuple((name, at) for name, at in self._position.items() if name not in RESERVED_AXES)
        # A device stands in every id, named by the suite or not.
        self._rest = () if "device" in names else (f"device={DEFAULTS['device']}",)
        self._compare = suite.compare if len(suite.pipelines) > 1 else ()
        self._key = _ModelKey(pattern, self._position)
        self._uses = self._fitting(suite.checks, [use.where for use in suite.checks])
        self._nothing = self._fitting(suite.nothing, [rule.values for rule in suite.nothing])
        self.left_out = tuple(
            name for name, values in zip(names, block.values) if name not in self._position and len(values) > 1
        )
        # What no case has got yet, and where to note that one has.
        self._unused: tuple[tuple[_Part[CheckUse] | _Part[Rule], set[int]], ...] = (
            *((use, used.checks) for use in self._uses),
            *((rule, used.nothing) for rule in self._nothing),
        )

    @property
    def suite(self) -> str:
        """The name of the cases' suite."""
        return self._suite.name

    @property
    def merge_reason(self) -> str:
        """Why points became equal."""
        idle = [name for name in self.left_out if takes(self._pattern, name)]
        unknown = [name for name in self.left_out if name not in idle]
        reasons = [f"pattern {self._pattern.name} does not take {' or '.join(unknown)}"] if unknown else []
        if idle:
            reasons.append(f"a case that does not train does not take {' or '.join(idle)}")
        return "; ".join(reasons)

    def case_id(self, texts: tuple[str, ...]) -> str:
        """The id of the case at a point; equal for all points that this pattern cannot tell apart."""
        return self._prefix + ",".join((*itertools.compress(texts, self._shown), *self._rest))

    def declared(self, case_id: str, texts: tuple[str, ...], values: tuple[Value, ...]) -> DeclaredCase:
        """The case at a point, which is not made yet."""
        if self._unused:
            self._note_used(texts)
        return DeclaredCase(case_id, self, texts, values)

    def axes(self, values: tuple[Value, ...]) -> dict[str, Value]:
        """The axes of the case at a point, in their order."""
        axes = dict(zip(self._position, itertools.compress(values, self._taken)))
        axes.setdefault("device", DEFAULTS["device"])
        return axes

    def text_of(self, axis: str, texts: tuple[str, ...]) -> str | None:
        """The value of an axis, None where the case has none. A suite may leave `conv` out, its cases have one."""
        if axis in self._position:
            return texts[self._position[axis]].removeprefix(f"{axis}=")
        return DEFAULTS[axis] if axis == "device" or (axis == "conv" and self._pattern.takes_conv) else None

    def case(self, case_id: str, texts: tuple[str, ...], values: tuple[Value, ...]) -> Case:
        """The case at a point."""
        suite, matrix, position = self._suite, self._matrix, self._position
        axes = self.axes(values)
        device = axes["device"]
        params = {**self._pattern.params}
        for name, at in self._params:
            params[name] = values[at]
        dim = axes.get("dim")
        quantizer = matrix.quantizers[str(values[position["quantizer"]])]
        lifecycle = _lifecycle(axes)
        runtime = matrix.runtimes.get(str(axes.get("runtime", DEFAULTS["runtime"])))
        return Case(
            case_id=case_id,
            suite=suite.name,
            axes=axes,
            pattern=self._pattern,
            params=params,
            conv_kind=self._conv_kind(axes),
            dim=dim if isinstance(dim, int) else None,
            quantizer=quantizer,
            device=matrix.devices[str(device)],
            pipelines=_pipelines(suite.pipelines, runtime),
            pipelines_because=_because(suite.pipelines_because, runtime),
            own_pipelines=suite.own_pipelines,
            compare=self._points(runtime),
            tolerance=suite.tolerance,
            checks=self._checks(texts, axes, params=params, quantizer=quantizer) if self._uses else (),
            convert_in=suite.convert_in,
            skip=suite.skip or _why_not(axes, quantizer),
            seed=seed_of(self._key.at(texts)),
            source=self._source,
            training=_training(axes),
            dtype=str(axes.get("dtype", DEFAULTS["dtype"])),
            dynamic_batch=axes.get("dynamic_batch") is True,
            quantizes=self._quantizes(texts),
            calibration_batches=_batches(axes),
            capture="non_strict" if axes.get("capture") == "non_strict" else "strict",
            lifecycle=lifecycle,
            runtime=runtime,
            within_steps=suite.within_steps,
        )

    def _points(self, runtime: RuntimeSpec | None) -> tuple[ComparisonPoint, ...]:
        """Where the case's pipelines are compared with one another."""
        if runtime is None:
            return tuple(at for at in self._compare if at != LOWERED)
        return self._compare if len(_pipelines(self._suite.pipelines, runtime)) > 1 else ()

    def _conv_kind(self, axes: Mapping[str, Value]) -> ConvKind | None:
        if not self._pattern.takes_conv:
            return None
        return self._matrix.conv_kinds[str(axes.get("conv", DEFAULTS["conv"]))]

    def _checks(
        self,
        texts: tuple[str, ...],
        axes: Mapping[str, Value],
        *,
        params: Mapping[str, Value],
        quantizer: QuantizerSpec,
    ) -> tuple[GraphCheck, ...]:
        known = check_values(params, axes, quantizer)
        return tuple(_bound(use.item, known) for use in self._uses if use.holds(texts))

    def _quantizes(self, texts: tuple[str, ...]) -> Quantizes:
        return "nothing" if any(rule.holds(texts) for rule in self._nothing) else "something"

    def _note_used(self, texts: tuple[str, ...]) -> None:
        left = []
        for part, used in self._unused:
            if part.holds(texts):
                used.add(part.number)
            else:
                left.append((part, used))
        self._unused = tuple(left)

    def _fitting(self, items: Sequence[_T], wheres: Sequence[Mapping[str, tuple[Value, ...]]]) -> tuple[_Part[_T], ...]:
        """The items that some case can fit, each with the conditions that depend on the point."""
        conditions = map(self._conditions, wheres)
        return tuple(
            _Part(number=number, item=item, conditions=found)
            for number, (item, found) in enumerate(zip(items, conditions))
            if found is not None
        )

    def _conditions(self, where: Mapping[str, tuple[Value, ...]]) -> tuple[_Condition, ...] | None:
        conditions = []
        for axis, values in where.items():
            allowed = frozenset(f"{axis}={value_text(value)}" for value in values)
            if axis in self._position:
                conditions.append((self._position[axis], allowed))
            elif self._default(axis) not in allowed:
                return None
        return tuple(conditions)

    def _default(self, axis: str) -> str | None:
        """What an axis that the block does not have is for this pattern, None for one that it does not take."""
        if not takes(self._pattern, axis):
            return None
        if axis in self._pattern.params and axis not in RESERVED_AXES:
            return f"{axis}={value_text(self._pattern.params[axis])}"
        return f"{axis}={DEFAULTS.get(axis)}"


class DeclaredCase(NamedTuple):
    """A case by its id and its axes; the rest is made where it is wanted, for 10 µs beside the 6 µs that this takes."""

    case_id: str
    maker: CaseMaker
    texts: tuple[str, ...]
    values: tuple[Value, ...]

    @property
    def suite(self) -> str:
        """The name of its suite."""
        return self.maker.suite

    @property
    def axes(self) -> dict[str, Value]:
        """The values of its axes."""
        return self.maker.axes(self.values)

    def text_of(self, axis: str) -> str | None:
        """Its value of an axis as it stands in ids, None where it has none."""
        return self.maker.text_of(axis, self.texts)

    def made(self) -> Case:
        """The case, with everything that is needed to run it."""
        return self.maker.case(self.case_id, self.texts, self.values)


def check_values(params: Mapping[str, Value], axes: Mapping[str, Value], quantizer: QuantizerSpec) -> dict[str, Value]:
    """What the expected graphs of a case know beside the parameters of their checks, by name."""
    return {**params, "dim": axes.get("dim"), "per_channel": quantizer.per_channel, "device": axes["device"]}


def _pipelines(pipelines: tuple[str, ...], runtime: RuntimeSpec | None) -> tuple[str, ...]:
    """Those of a suite's pipelines that a case runs: with a runtime, those that the runtime is of."""
    return pipelines if runtime is None else tuple(name for name in pipelines if name in runtime.uses)


def _because(because: str | None, runtime: RuntimeSpec | None) -> str | None:
    """Why not all of the default pipelines run."""
    return because if runtime is None else because or f"the runtime {runtime.name} is of {' and '.join(runtime.uses)}"


def _batches(axes: Mapping[str, Value]) -> int | None:
    batches = axes.get("calibration_batches")
    return batches if isinstance(batches, int) else None


def _lifecycle(axes: Mapping[str, Value]) -> Lifecycle:
    # The YAML was checked for words that are none.
    return cast("Lifecycle", axes.get("lifecycle", "none"))


def _why_not(axes: Mapping[str, Value], quantizer: QuantizerSpec) -> str | None:
    """Why a case cannot be run as its axes say, None where it can."""
    lifecycle, runtime = _lifecycle(axes), axes.get("runtime", DEFAULTS["runtime"])
    return why_no_lifecycle(lifecycle, quantizer, axes.get("train_steps")) or why_no_runtime(
        runtime, lifecycle, quantizer
    )


def _training(axes: Mapping[str, Value]) -> Training | None:
    steps = axes.get("train_steps")
    if not isinstance(steps, int) or steps < 1:
        return None
    return Training(
        steps=steps,
        observers="disabled" if axes.get("observer_state") == "disabled" else "enabled",
        batch_norms="frozen" if axes.get("batch_norm") == "frozen" else "training",
    )


# A place in a point, and the texts that are allowed there.
_Condition: TypeAlias = tuple[int, frozenset[str]]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class _Part(Generic[_T]):
    """What a suite says of some of its cases: a use of a check, or that nothing is quantized."""

    number: int
    item: _T
    conditions: tuple[_Condition, ...]

    def holds(self, texts: tuple[str, ...]) -> bool:
        return all(texts[at] in allowed for at, allowed in self.conditions)


def _bound(use: CheckUse, known: Mapping[str, Value]) -> GraphCheck:
    """A check for one case: its defaults, then the case's values, then what the suite's `with` says."""
    return replace(use.check, scope={**use.check.scope, **known, **use.with_})


class _ModelKey:
    """`model_key` of a pattern's cases, without the cases: fixed parts, and places of a point to fill in."""

    def __init__(self, pattern: PatternSpec, position: Mapping[str, int]) -> None:
        fixed = {axis: f"{axis}={DEFAULTS.get(axis)}" for axis in ("conv", "dim") if takes(pattern, axis)}
        fixed |= {name: f"{name}={value_text(pattern.params[name])}" for name in sorted(pattern.params)}
        self._parts = [pattern.name, *fixed.values()]
        self._slots = tuple((slot, position[name]) for slot, name in enumerate(fixed, start=1) if name in position)

    def at(self, texts: tuple[str, ...]) -> str:
        parts = self._parts.copy()
        for slot, position in self._slots:
            parts[slot] = texts[position]
        return ",".join(parts)
