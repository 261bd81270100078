"""All that a set of files declares, and the devices among it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qatrix.claims import Expectation, GraphCheck, Tolerance
from qatrix.declare.spec.patterns import ConvKind, PatternSpec
from qatrix.declare.spec.quantizers import QuantizerSpec
from qatrix.declare.spec.runtimes import RuntimeSpec
from qatrix.declare.spec.suites import SuiteSpec
from qatrix.errors import Source


@dataclass(frozen=True, kw_only=True)
class DeviceSpec:
    """A device by name, and torch's name for it ("cpu", "cuda")."""

    name: str
    torch: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Everything that a set of YAML files declares."""

    patterns: Mapping[str, PatternSpec]
    conv_kinds: Mapping[str, ConvKind]
    devices: Mapping[str, DeviceSpec]
    quantizers: Mapping[str, QuantizerSpec]
    tolerances: Mapping[str, Tolerance]
    checks: Mapping[str, GraphCheck]
    suites: Mapping[str, SuiteSpec]
    expectations: tuple[Expectation, ...]
    files: tuple[str, ...]
    runtimes: Mapping[str, RuntimeSpec] = field(default_factory=dict)
