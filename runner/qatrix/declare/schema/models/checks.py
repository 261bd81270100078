"""The keys of checks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qatrix.claims import CheckPoint
from qatrix.declare.schema.models.declaration import Count, Declaration
from qatrix.declare.schema.values import DeclaredValue, Name, PipelineName, Text

Op = Annotated[str, Field(strict=True, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$")]


class Check(Declaration):
    """An assertion on one pipeline's graph."""

    about: Text = Field(default="", description="what it claims, in a few words")
    at: CheckPoint = Field(description="the graph after prepare, after convert, or exported again")
    pipelines: list[PipelineName] = Field(default=["pt2e"], min_length=1, description="whose graph")
    params: dict[Name, DeclaredValue] = Field(default={}, description="values that graph may use, with their defaults")
    graph: list[Text] = Field(default=[], description="the lines of the expected graph")
    counts: dict[Op, Count] = Field(default={}, description="op → how often it occurs")
    order: list[Op] = Field(default=[], description="ops that occur in this order, others may stand between")
    absent: list[Op] = Field(default=[], description="ops that do not occur")
    annotations: Literal["live"] | None = Field(
        default=None, description="live: no annotation refers to a node that is gone"
    )
