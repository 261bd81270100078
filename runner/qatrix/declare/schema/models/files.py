"""The keys of a file, each a section of it, and the sections that are a line long."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from qatrix.declare.schema.models.checks import Check
from qatrix.declare.schema.models.declaration import Declaration, Number
from qatrix.declare.schema.models.expectations import Cause, Expectation
from qatrix.declare.schema.models.patterns import ConvKind, Pattern
from qatrix.declare.schema.models.quantizers import Quantizer
from qatrix.declare.schema.models.runtimes import Runtime
from qatrix.declare.schema.models.suites import Suite
from qatrix.declare.schema.values import Name, Text


class Device(Declaration):
    """A device by name."""

    torch: Text = Field(description="torch's name for it: cpu, cuda, …")


class Tolerance(Declaration):
    """How far two tensors may be apart: |left - right| <= atol + rtol * |right|."""

    about: Text = Field(default="", description="where it comes from")
    rtol: Number = Field(description="relative tolerance")
    atol: Number = Field(description="absolute tolerance")


class File(Declaration):
    """A file of a matrix; every key may stand in any file."""

    patterns: dict[Name, Pattern] = Field(default={}, description="models to quantize")
    conv_kinds: dict[Name, ConvKind] = Field(default={}, description="kinds of convolution")
    devices: dict[Name, Device] = Field(default={}, description="devices")
    quantizers: dict[Name, Quantizer] = Field(default={}, description="ways to quantize")
    runtimes: dict[Name, Runtime] = Field(default={}, description="where converted models run")
    tolerances: dict[Name, Tolerance] = Field(default={}, description="tolerances of comparisons")
    checks: dict[Name, Check] = Field(default={}, description="assertions on graphs")
    suites: dict[Name, Suite] = Field(default={}, description="products of axes")
    causes: dict[Name, Cause] = Field(default={}, description="known causes, which expectations name")
    expected: list[Expectation] = Field(default=[], description="known differences")


SECTIONS: Final[dict[str, type[Declaration]]] = {
    "patterns": Pattern,
    "conv_kinds": ConvKind,
    "devices": Device,
    "quantizers": Quantizer,
    "runtimes": Runtime,
    "tolerances": Tolerance,
    "checks": Check,
    "suites": Suite,
    "causes": Cause,
    "expected": Expectation,
}
