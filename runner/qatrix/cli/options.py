"""The options of the verbs, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import typer

REPORTS: Final = Path("reports")
LATEST_RUN: Final = REPORTS / "latest"

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="YAML files or folders of them. Default: matrix/, else the matrix that comes with qatrix.",
    ),
]
CaseGlobs = Annotated[
    list[str] | None,
    typer.Option(
        "--case",
        metavar="GLOB",
        help="Take only the cases whose id fits, e.g. 'conv_bn_fusion/*'. A suite's name takes the suite. Repeatable.",
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="AXIS=VALUE", help="Take only the cases with this value, e.g. dim=2. Repeatable."),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="NAME",
        help="Take the suites with this tag instead of those with the tag default; full takes every suite. Repeatable.",
    ),
]
Pairwise = Annotated[
    bool,
    typer.Option("--pairwise", help="Take a few cases that still cover every pair of axis values."),
]
Strength = Annotated[
    int | None,
    typer.Option("--strength", metavar="N", min=1, help="The same for every combination of N values; 2 is --pairwise."),
]
ShardText = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Take the I-th of N slices of these cases; `qatrix merge` joins them."),
]
ShardBy = Annotated[
    Literal["hash", "cost"],
    typer.Option(
        "--shard-by",
        help="Cut the slices by a hash of each case's id, so that no case moves when others are added, or so that "
        "they take equally long.",
    ),
]
Durations = Annotated[
    Path,
    typer.Option(
        "--durations", metavar="RUN", help="With --shard-by cost: the run whose times say how long cases take."
    ),
]
AllowModules = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-module",
        metavar="PREFIX",
        help="Consent to running the code of this module and of those below it, so that declarations may name it. "
        "Repeatable; [tool.qatrix] allow-modules in pyproject.toml does the same.",
    ),
]
FailOn = Annotated[
    Literal["unexpected", "diverged", "never"],
    typer.Option(
        "--fail-on",
        help="What gives exit code 1: anything unexpected, any difference even if expected, or nothing.",
    ),
]
OutFolder = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where runs are kept, each in a folder.")]
PatternCache = Annotated[
    bool,
    typer.Option(
        "--pattern-cache/--no-pattern-cache",
        help="Export each conv-bn pattern, search each histogram and compile each graph's code once, or on every call "
        "as torch and torchao do: slower, the same bits.",
    ),
]
DiagnoseWhen = Annotated[
    Literal["differences", "all", "never"],
    typer.Option(
        "--diagnose",
        help="Find the first layer that differs: for cases that are not exact, for all, or never.",
    ),
]
ReferenceFile = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="FILE",
        help="Take FX graph mode's side from this file, which `qatrix freeze` wrote, instead of running it.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        metavar="N",
        help="Worker processes; 0 runs in this process, for debugging. Default: by cores and free memory.",
    ),
]
Engine = Annotated[
    Literal["workers", "ray"],
    typer.Option("--engine", help='Run on this machine, or on a Ray cluster, which needs: pip install "qatrix[ray]".'),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="With --engine ray: the cluster to join. Default: a local one.",
    ),
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Stop a case that takes longer.")]
MemoryLimit = Annotated[
    int | None,
    typer.Option("--memory-limit", min=1, metavar="MIB", help="Stop a worker whose resident memory exceeds this."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue DIR/latest, which was interrupted or killed.")]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Run every case, even those that have not changed since an earlier run.")
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="RUN",
        help="Say what changed since this run. Default: the newest earlier run of the same selection in the same kind "
        "of environment.",
    ),
]
NoBaseline = Annotated[bool, typer.Option("--no-baseline", help="Do not say what changed since an earlier run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line for every case.")]
