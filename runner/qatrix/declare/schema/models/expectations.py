"""The keys of known differences."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from qatrix.claims import Verdict
from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.values import Name, PipelineName, Text

Stage = Literal[
    "build",
    "capture",
    "prepare",
    "forward",
    "train",
    "convert",
    "quantized_forward",
    "save_load",
    "checkpoint",
    "state_dict",
    "deepcopy",
    "average",
    "eval_and_train",
    "repeat",
    "lower",
    "lowered_forward",
]


class Expectation(Declaration):
    """A known difference: the verdict of the cases that a glob names, and why."""

    cases: Text = Field(description="glob over case ids")
    verdict: Verdict = Field(description="how these cases end")
    because: Text = Field(description="why; shown wherever the verdict is")
    title: Text | None = Field(default=None, description="the cause in a few words, its heading among the findings")
    pipeline: PipelineName | None = Field(default=None, description="the pipeline that fails")
    stage: Stage | None = Field(default=None, description="the stage that fails")
    error: Text | None = Field(default=None, description="the exception's type")
    message: Text | None = Field(default=None, description="a part of the exception's message")
    checks: list[Name] = Field(default=[], description="the checks that fail")
    torch: Text | None = Field(default=None, description="torch versions that it holds for, such as >=2.5,<2.9")
    torchao: Text | None = Field(default=None, description="torchao versions that it holds for")
    executorch: Text | None = Field(
        default=None, description="ExecuTorch versions that it holds for; none where it is not installed"
    )
    device: Name | None = Field(default=None, description="the device that it holds for")
    link: Text | None = Field(default=None, description="where to read on")
