"""Measure, print the table, and write it to reports/benchmarks.md and reports/benchmarks.json."""

from __future__ import annotations

import functools
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks import cases, lowering, pages, revisions, runs, scale, small, watching
from benchmarks.rows import Benchmark, Row, measured
from benchmarks.table import as_json, machine, markdown, terminal

BENCHMARKS: Final = (
    Benchmark(name="case", measure=cases.cached_against_plain),
    Benchmark(name="all-rows", measure=runs.all_rows, quick=functools.partial(runs.all_rows, each=1)),
    Benchmark(name="workers", measure=cases.workers),
    Benchmark(name="diagnosis", measure=cases.diagnosis),
    Benchmark(name="overhead", measure=cases.overhead),
    Benchmark(name="lowering", measure=lowering.lowering),
    Benchmark(name="scheduler", measure=cases.scheduler),
    Benchmark(name="revision", measure=revisions.unnamed, against=revisions.against),
    Benchmark(name="disk-cache", measure=runs.disk_cache),
    Benchmark(name="first-case", measure=runs.first_case),
    Benchmark(name="watch", measure=watching.edits),
    Benchmark(
        name="small",
        measure=small.small,
        quick=functools.partial(small.small, selection=("--case", "conv_bn_fusion/*"), pairwise=False),
    ),
    Benchmark(name="again", measure=scale.thousand_again),
    Benchmark(name="million", measure=scale.million),
    Benchmark(
        name="page", measure=pages.first_page, quick=functools.partial(pages.first_page, newest=Path("reports/latest"))
    ),
    Benchmark(name="large-page", measure=pages.large_page, quick=functools.partial(pages.large_page, count=10_000)),
    Benchmark(name="records", measure=scale.records, quick=functools.partial(scale.records, count=10_000)),
)


def main(
    only: Annotated[list[str] | None, typer.Option("--only", help="Measure only this; repeatable.")] = None,
    list_names: Annotated[bool, typer.Option("--list", help="Print what can be measured, and leave.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Take a sample where all would take many minutes.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where a reach is missed.")] = False,
    base: Annotated[
        str | None, typer.Option("--base", metavar="REF", help="The revision of git that `revision` compares with.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write the table.")] = Path("reports"),
) -> None:
    """Benchmarks of qatrix: ratios measured in one run, on this machine, best while nothing else runs."""
    if list_names:
        for benchmark in BENCHMARKS:
            print(f"{benchmark.name:<12}{benchmark.about}")
        return
    chosen = _chosen(only or [])
    # Before anything is measured: a folder that cannot be made must not cost half an hour.
    out.mkdir(parents=True, exist_ok=True)
    place = machine([f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchao")])
    rows: list[Row] = []
    for benchmark in chosen:
        for row in measured(benchmark, quick=quick, base=base):
            rows.append(row)
            print(f"{row.name}: {row.what}: {row.figure}", file=sys.stderr, flush=True)
        # Each time: what was measured is kept when the rest is interrupted.
        (out / "benchmarks.md").write_text(markdown(rows, place), encoding="utf-8")
        (out / "benchmarks.json").write_text(as_json(rows, place), encoding="utf-8")
    if sys.stdout.isatty():
        Console().print(terminal(rows, place))
    else:
        print(markdown(rows, place))
    if strict and any(row.reached is False for row in rows):
        raise typer.Exit(1)


def _chosen(only: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names, all where none is given."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    if unknown := set(only) - set(names):
        msg = f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        raise typer.BadParameter(msg, param_hint="--only")
    return [benchmark for benchmark in BENCHMARKS if not only or benchmark.name in only]


if __name__ == "__main__":
    typer.run(main)
