"""The keys of suites."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from qatrix.claims import ComparisonPoint, Quantizes
from qatrix.declare.schema.models.declaration import Declaration, PositiveNumber
from qatrix.declare.schema.values import DeclaredValue, Name, PipelineName, Text, Values


class CheckUse(Declaration):
    """A check for some of a suite's cases, or with parameters of its own."""

    check: Name = Field(description="the check's name")
    where: dict[Name, Values] = Field(default={}, description="axis → the values of the cases that it is made on")
    with_: dict[Name, DeclaredValue] = Field(default={}, alias="with", description="the check's parameters")


class Pipelines(Declaration):
    """Which pipelines run, and why not all."""

    only: list[PipelineName] = Field(min_length=1, description="the pipelines that run and are compared, two by two")
    because: Text = Field(description="why these, and not pt2e and fx")


def _use_tag(found: object) -> str:
    return "<use>" if isinstance(found, dict) else "<name>"


_Use = Annotated[Annotated[Name, Tag("<name>")] | Annotated[CheckUse, Tag("<use>")], Discriminator(_use_tag)]


def _quantizes_tag(found: object) -> str:
    return "<cases>" if isinstance(found, dict) else "<word>"


class QuantizesNothing(Declaration):
    """The cases of a suite in which nothing is to be quantized."""

    nothing: list[dict[Name, Values]] = Field(
        min_length=1, description="axis → the values of the cases in which nothing is to be quantized; any of these"
    )


_Quantizes = Annotated[
    Annotated[Quantizes, Tag("<word>")] | Annotated[QuantizesNothing, Tag("<cases>")], Discriminator(_quantizes_tag)
]


class Suite(Declaration):
    """A product of axes, what is added and left out, and the checks to make."""

    about: Text = Field(default="", description="what it covers, in a few words")
    axes: dict[Name, Values] = Field(
        default={}, description="axis → its values: pattern, conv, dim, dtype, quantizer, runtime, device, …, a param"
    )
    include: list[dict[Name, Values]] = Field(
        default=[], description="cases to add: axis → values; because is optional"
    )
    exclude: list[dict[Name, Values]] = Field(default=[], description="cases to leave out: axis → values, and because")
    compare: list[ComparisonPoint] | None = Field(
        default=None, description="default: prepare and convert, where two run, and lowered, where they have runtimes"
    )
    checks: list[_Use] = Field(default=[], description="checks by name, or {check, where, with}")
    pipelines: Pipelines | None = Field(default=None, description="default: pt2e and fx")
    tolerance: Name = Field(default="float32", description="the tolerance's name")
    within_steps: PositiveNumber = Field(
        default=1, description="how many quantization steps a runtime's outputs may be off those of its reference"
    )
    convert_in: Literal["eval", "train"] = Field(default="eval", description="the mode in which the model is converted")
    quantizes: _Quantizes = Field(
        default="something", description="nothing, or {nothing: […]} for some cases: whatever is quantized is a fault"
    )
    skip: Text | None = Field(default=None, description="a reason not to run these cases")
    tags: list[Name] = Field(default=["default"], description="the selections that it is in: smoke, default, models, …")
