"""The keys of known differences."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, StrictBool

from qatrix.claims import Impact, IssueState, Verdict
from qatrix.declare.schema.models.declaration import Declaration
from qatrix.declare.schema.values import Day, Line, Name, PipelineName, Text

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
# Keys that an expectation leaves to the cause that it names.
SAID_BY_A_CAUSE: Final = ("because", "title", "link")


class CpuFeatures(Declaration):
    """What the processor has, true, or lacks, false; what is not named does not matter."""

    vnni: StrictBool = Field(default=False, description="instructions that add products of 8 bits in 32 bits, on x86")
    onednn_vnni: StrictBool = Field(default=False, description="oneDNN uses them, which its environment may forbid")
    avx512: StrictBool = Field(default=False, description="vectors of 512 bits, on x86")
    amx: StrictBool = Field(default=False, description="instructions on tiles of 8 bits, on x86")
    asimddp: StrictBool = Field(default=False, description="dot products of 8 bits, on Arm")


class Issue(Declaration):
    """An issue or pull request of the project that the cause lies in."""

    link: Text = Field(description="its address")
    state: IssueState = Field(description="what had become of it")
    checked: Day = Field(description="the day when somebody looked, such as 2026-11-30")


class Cause(Declaration):
    """A known cause, declared once: expectations name it, and reports list it with all of its cases."""

    title: Line = Field(description="the cause in one line of at most 80 characters")
    sentence: Text = Field(description="what it means for a user, in one plain sentence")
    impact: Impact = Field(
        description="silently wrong numbers, layers left in float, an error, or a difference by design"
    )
    advice: Text = Field(description="what to do, in one or two sentences")
    because: Text = Field(description="the explanation, with the source files")
    link: Text | None = Field(default=None, description="where to read on")
    issue: Issue | None = Field(default=None, description="the issue upstream")


class Expectation(Declaration):
    """A known difference: the verdict of the cases that a glob names, and why."""

    cases: Text = Field(description="glob over case ids")
    verdict: Verdict = Field(description="how these cases end")
    cause: Name | None = Field(default=None, description="why: the key of a cause under causes")
    because: Text | None = Field(default=None, description="why, where no cause is named; shown beside the verdict")
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
    onnxruntime: Text | None = Field(
        default=None, description="ONNX Runtime versions that it holds for; none where it is not installed"
    )
    cpu: CpuFeatures = Field(
        default=CpuFeatures(), description="features that the processor must have or lack, such as {vnni: false}"
    )
    device: Name | None = Field(default=None, description="the device that it holds for")
    runtime: Name | None = Field(default=None, description="the runtime that it holds for, or reference")
    link: Text | None = Field(default=None, description="where to read on")
