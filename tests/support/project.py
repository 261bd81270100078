"""A folder with some files in it, and the command line run there: what it printed, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Self

import pytest

from qatrix.cli import run
from qatrix.cli.collaborators import Collaborators
from qatrix.execute.bounded import Bounds, Computed
from qatrix.execute.options import Execution
from qatrix.outcomes import Environment, Record
from qatrix.report.resultcache import ResultCache

if TYPE_CHECKING:
    from qatrix.declare.spec import Case

ENVIRONMENT = Environment(
    python="3.11.7",
    platform="TestOS",
    processor="two cores",
    packages={"torch": "2.15.0", "torchao": "0.18.0"},
    devices={"cpu": "two cores"},
    threads=1,
)
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)

MATRIX = """
patterns:
  linear:
    layers: {a: "Linear(3, 3, bias=bias)"}
    params: {bias: true}
    forward: ["return a(x)"]
    inputs: {x: {shape: [2, 3]}}
quantizers:
  int8: {mode: qat, fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}}
devices: {cuda: {torch: cuda}}
suites:
  first: {axes: {pattern: linear, bias: [true, false], quantizer: int8}}
  second: {axes: {pattern: linear, quantizer: int8, device: [cpu, cuda]}}
"""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; its repr shows everything, so that a failed assert does too."""

    code: int
    out: str
    err: str
    argv: tuple[str, ...]

    def __repr__(self) -> str:
        return f"$ qatrix {' '.join(self.argv)}\n-> {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


@dataclass
class FakeExecution:
    """Stands in for the pipelines: an exact record for every case, or what `records` makes of it."""

    records: Callable[[Case], Record] | None = None
    interrupted_after: int | None = None
    ran: list[str] = field(default_factory=list)
    options: Execution | None = None

    def __call__(
        self, cases: Sequence[Case], *, options: Execution, on_start: Callable[[Case], None]
    ) -> Iterator[Record]:
        self.options = options
        for case in cases:
            if self.interrupted_after == len(self.ran):
                raise KeyboardInterrupt
            on_start(case)
            self.ran.append(case.case_id)
            yield (self.records or exact)(case)


class ScriptsHere:
    """Stands in for the process that makes scripts."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def schedule(self, function: Callable[..., str], *args: object) -> Computed:
        """Compute it at once."""
        return Computed(text=function(*args))

    def result(self, computed: Computed) -> Computed:
        """What was computed."""
        return computed


def exact(case: Case) -> Record:
    """An exact record of a case."""
    return ended_with(case, "exact", "bit-identical, and every check holds")


def ended_with(case: Case, verdict: str, summary: str) -> Record:
    """A record of a case with a verdict."""
    return Record(
        case_id=case.case_id,
        suite=case.suite,
        axes=dict(case.axes),
        verdict=verdict,  # type: ignore[arg-type]  # one of the literals
        summary=summary,
        seed=case.seed,
        seconds=0.25,
        source=case.source,
    )


@dataclass
class Project:
    """A folder in which commands run."""

    path: Path
    capture: pytest.CaptureFixture[str]
    execution: FakeExecution = field(default_factory=FakeExecution)
    # Whether a run may take over the results of the one before, as real ones do.
    remembers: bool = False
    runs: int = 0

    def write(self, files: Mapping[str, str]) -> None:
        """Write files by their relative paths."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text), encoding="utf-8")

    def run(self, *argv: str, **others: Any) -> Ended:
        """Run one command with pipelines that do nothing, and with other collaborators by their names."""
        self.capture.readouterr()
        self.runs += 1
        tools = Collaborators(
            execute=self.execution,
            warm_up=lambda _: None,
            environment=lambda: ENVIRONMENT,
            fingerprint=lambda: "one",
            result_cache=lambda: ResultCache(self.path / ("cache" if self.remembers else f"cache-{self.runs}")),
            now=lambda: NOW,
        )
        code = run(argv, replace(tools, **others))
        captured = self.capture.readouterr()
        return Ended(code=code, out=captured.out, err=captured.err, argv=argv)
