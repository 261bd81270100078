"""Measure, print the table, and write it to reports/benchmarks.md and reports/benchmarks.json."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks import cases, runs, scale
from benchmarks.rows import Benchmark, Row, as_json, machine, markdown, measured

BENCHMARKS: Final = (
    Benchmark(name="case", measure=cases.cached_against_plain),
    Benchmark(name="all-rows", measure=runs.all_rows, slow=True),
    Benchmark(name="workers", measure=runs.workers),
    Benchmark(name="diagnosis", measure=cases.diagnosis),
    Benchmark(name="overhead", measure=cases.overhead),
    Benchmark(name="scheduler", measure=cases.scheduler),
    Benchmark(name="disk-cache", measure=runs.disk_cache),
    Benchmark(name="again", measure=scale.thousand_again),
    Benchmark(name="million", measure=scale.million),
    Benchmark(name="records", measure=scale.records),
)


def main(
    only: Annotated[list[str] | None, typer.Option("--only", help="Measure only this; repeatable.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Leave out what takes more than a few minutes.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where a reach is missed.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Where to write the table.")] = Path("reports"),
) -> None:
    """Benchmarks of qatrix: ratios measured in one run, on this machine, best while nothing else runs."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    if unknown := set(only or ()) - set(names):
        msg = f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}"
        raise typer.BadParameter(msg, param_hint="--only")
    rows: list[Row] = []
    for benchmark in BENCHMARKS:
        if (only and benchmark.name not in only) or (quick and benchmark.slow and not only):
            continue
        for row in measured(benchmark):
            rows.append(row)
            print(f"{benchmark.name}: {row.what}: {row.figure}", file=sys.stderr, flush=True)
    place = machine([f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchao")])
    print(markdown(rows, place))
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmarks.md").write_text(markdown(rows, place), encoding="utf-8")
    (out / "benchmarks.json").write_text(as_json(rows, place), encoding="utf-8")
    if strict and any(row.reached is False for row in rows):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
