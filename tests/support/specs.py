"""Small declarations for tests: each builder gives a sensible value, and takes any field by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from qatrix.claims import Expectation, GraphCheck, Tolerance
from qatrix.declare.spec import (
    Case,
    CheckUse,
    ConvKind,
    DeviceSpec,
    FxPreset,
    Matrix,
    PatternSpec,
    Pt2ePreset,
    QuantizerSpec,
    Rule,
    SuiteSpec,
)
from qatrix.errors import Source
from qatrix.expressions import Value

Axes: TypeAlias = Mapping[str, Sequence[Value]]


def source(line: int = 1, *, file: str = "matrix/test.yaml", column: int = 1) -> Source:
    """A place in a file that does not exist."""
    return Source(file=file, line=line, column=column)


def pattern(name: str = "conv_bn", **fields: Any) -> PatternSpec:
    """A pattern with one parameter, `bias`, that takes a conv kind and a dim; it has no layers."""
    default = PatternSpec(
        name=name,
        about="",
        params={"bias": True},
        layers=(),
        forward=(),
        factory=None,
        factory_args={},
        inputs=(),
        takes_conv=True,
        takes_dim=True,
        source=source(),
    )
    return replace(default, **fields)


def factory(name: str = "resnet18", **fields: Any) -> PatternSpec:
    """A pattern made by a factory: it takes neither a conv kind nor a dim, and has no parameters."""
    whole: dict[str, Any] = {"params": {}, "factory": f"models.{name}", "takes_conv": False, "takes_dim": False}
    return pattern(name, **(whole | fields))


def conv_kind(name: str = "conv", **fields: Any) -> ConvKind:
    """A convolution without further arguments; transposed where its name says so."""
    module: Any = "ConvTransposeNd" if "transpose" in name else "ConvNd"
    return replace(ConvKind(name=name, about="", module=module, args={}, source=source()), **fields)


def device(name: str = "cpu", **fields: Any) -> DeviceSpec:
    """A device that torch knows by the same name."""
    return replace(DeviceSpec(name=name, torch=name, source=source()), **fields)


def quantizer(name: str = "int8", *, per_channel: bool = True, **fields: Any) -> QuantizerSpec:
    """A preset of both pipelines, for training."""
    default = QuantizerSpec(
        name=name,
        about="",
        mode="qat",
        pt2e=Pt2ePreset(quantizer="XNNPACKQuantizer", config={"is_per_channel": per_channel, "is_qat": True}),
        fx=FxPreset(backend_config="qnnpack", qconfig="default_symmetric_qnnpack_qat_qconfig"),
        annotate=(),
        activation=None,
        weight=None,
        bias=None,
        shared=(),
        phases=(),
        source=source(),
    )
    return replace(default, **fields)


def check(name: str = "fused", **fields: Any) -> GraphCheck:
    """A check of the prepared PT2E graph that demands nothing."""
    return replace(GraphCheck(name=name, about="", at="prepare", pipelines=("pt2e",), source=source()), **fields)


def use(
    of: GraphCheck | None = None,
    *,
    where: Axes | None = None,
    with_: Mapping[str, Value] | None = None,
    line: int = 1,
) -> CheckUse:
    """A suite's use of a check."""
    values = {axis: tuple(items) for axis, items in (where or {}).items()}
    return CheckUse(check=of or check(), where=values, with_=with_ or {}, source=source(line))


def rule(values: Axes, *, because: str = "", line: int = 1) -> Rule:
    """An `include` or `exclude` entry; every axis has a list of values."""
    return Rule(values={axis: tuple(items) for axis, items in values.items()}, because=because, source=source(line))


def suite(name: str = "fusion", axes: Axes | None = None, **fields: Any) -> SuiteSpec:
    """A suite over the given axes; without any it is one case, `fusion/conv_bn/dim=2,quantizer=int8,device=cpu`."""
    usual: Axes = {"pattern": ("conv_bn",), "dim": (2,), "quantizer": ("int8",)}
    given = usual if axes is None else axes
    default = SuiteSpec(
        name=name,
        about="",
        axes={axis: tuple(values) for axis, values in given.items()},
        include=(),
        exclude=(),
        pipelines=("pt2e", "fx"),
        pipelines_because=None,
        compare=("prepare", "convert"),
        checks=(),
        tolerance=Tolerance(),
        convert_in="eval",
        skip=None,
        source=source(),
    )
    return replace(default, **fields)


def matrix(
    *suites: SuiteSpec,
    patterns: Iterable[PatternSpec] | None = None,
    quantizers: Iterable[QuantizerSpec] | None = None,
    **fields: Any,
) -> Matrix:
    """A matrix of suites; it knows the usual conv kinds and devices, and the default pattern and quantizer."""
    default = Matrix(
        patterns={item.name: item for item in ((pattern(),) if patterns is None else patterns)},
        conv_kinds={name: conv_kind(name) for name in ("conv", "conv_transpose")},
        devices={name: device(name) for name in ("cpu", "cuda")},
        quantizers={item.name: item for item in ((quantizer(),) if quantizers is None else quantizers)},
        tolerances={"float32": Tolerance()},
        checks={item.check.name: item.check for one in suites for item in one.checks},
        suites={one.name: one for one in suites},
        expectations=(),
        files=("matrix/test.yaml",),
    )
    return replace(default, **fields)


def two_patterns(**fields: Any) -> Matrix:
    """A matrix of one suite, `s`, over two patterns, of which resnet18 takes neither its conv nor its dim axis."""
    axes: Axes = {
        "pattern": ["conv_bn", "resnet18"],
        "conv": ["conv", "conv_transpose"],
        "dim": [1, 2],
        "quantizer": ["int8"],
    }
    return matrix(suite("s", axes, **fields), patterns=[pattern(), factory()])


def case(case_id: str = "fusion/conv_bn/dim=2,quantizer=int8,device=cpu", **fields: Any) -> Case:
    """One case of the default suite; a different id does not change the other fields."""
    default = Case(
        case_id=case_id,
        suite=case_id.partition("/")[0],
        axes={"pattern": "conv_bn", "dim": 2, "quantizer": "int8", "device": "cpu"},
        pattern=pattern(),
        params={"bias": True},
        conv_kind=conv_kind(),
        dim=2,
        quantizer=quantizer(),
        device=device(),
        pipelines=("pt2e", "fx"),
        pipelines_because=None,
        compare=("prepare", "convert"),
        tolerance=Tolerance(),
        checks=(),
        convert_in="eval",
        skip=None,
        seed=0,
        source=source(),
    )
    return replace(default, **fields)


def expectation(cases: str = "fusion/*", **fields: Any) -> Expectation:
    """A known failure of FX, without conditions."""
    default = Expectation(
        cases=cases, verdict="failed", because="FX has no such module", pipeline="fx", source=source()
    )
    return replace(default, **fields)
