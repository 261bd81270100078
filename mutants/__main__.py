"""Plant faults, print how many the checks notice, and write the table into the documentation."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Final

import typer

from mutants import scores
from mutants.campaign import Choice, Result, run
from mutants.faults import FAULTS
from mutants.page import written

PAGE: Final = Path(__file__).parents[1] / "docs" / "checks.md"


def main(
    kind: Annotated[list[str] | None, typer.Option("--kind", help="Only this kind of fault; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")] = None,
    list_kinds: Annotated[bool, typer.Option("--list", help="Print the kinds of faults, and leave.")] = False,
    sample: Annotated[int | None, typer.Option("--sample", metavar="N", min=1, help="Only so many of them.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Which sample: the same seed draws the same one.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="In how many processes.")] = 1,
    write: Annotated[bool, typer.Option("--write", help="Write the table into docs/checks.md.")] = False,
) -> None:
    """Faults planted on purpose into the programs of real pipelines: how many do the checks notice?"""
    if list_kinds:
        for fault in FAULTS:
            print(f"{fault.name:<34}{fault.about}")
        return
    choice = Choice(kinds=_known(kind or []), models=tuple(model or ()), sample=sample, seed=seed)
    results = _counted(choice, jobs)
    print(scores.table(results))
    for line in scores.survivors(results):
        print(line)
    for sentence in scores.summary(results):
        print(sentence)
    if write:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    if not scores.is_enough(results):
        raise typer.Exit(1)


def _known(kinds: list[str]) -> tuple[str, ...]:
    names = {fault.name for fault in FAULTS}
    for kind in kinds:
        if kind not in names:
            msg = f"there is no kind of fault '{kind}'; --list prints those that there are"
            raise typer.BadParameter(msg)
    return tuple(kinds)


def _counted(choice: Choice, jobs: int) -> list[Result]:
    """All results; what has become of the mutants so far is told as cases end."""
    results: list[Result] = []
    for result in run(choice, jobs=jobs):
        if results and results[-1].mutant.case_id != result.mutant.case_id:
            _tell(results)
        results.append(result)
    _tell(results)
    return results


def _tell(results: list[Result]) -> None:
    if results:
        counts = Counter(item.status for item in results)
        told = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        print(f"{results[-1].mutant.case_id}: {len(results)} mutants so far, {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    typer.run(main)
