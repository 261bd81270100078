"""A run of selected cases, from the folder that is made for it to the last report."""

from __future__ import annotations

import os
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import typer

from qatrix.cli.baselines import WantedBaseline, tell_changes
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.conduct import Conduct, announce
from qatrix.cli.folders import conducted, newly_conducted
from qatrix.cli.newest import STORE, newest_run
from qatrix.cli.options import REPORTS
from qatrix.cli.plans import Plan, new_plan, resumed_plan
from qatrix.cli.recall import Recall, recalling
from qatrix.cli.repros import add_scripts, known_scripts
from qatrix.cli.standing import Seal, standing
from qatrix.execute.options import Execution
from qatrix.outcomes import UNREMARKABLE, Record, Run

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.selection import Selected
    from qatrix.declare.spec import Matrix
    from qatrix.report.changes import Since
    from qatrix.report.frames import ReportData


# Cases that got worse which the terminal names; the report has all.
_NAMED: Final = 10
# Says on a console what a run with this data, in this folder, has found.
Tell = Callable[["Console", "ReportData", Path], None]


class Told(Protocol):
    """What is told of a run at its end: of one whose reports were written now, or of one that stands."""

    @property
    def run(self) -> Run:
        """The run, as last kept."""

    @property
    def records(self) -> Sequence[Record]:
        """Those of its finished cases."""

    @property
    def since(self) -> Since | None:
        """What changed since its baseline."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be run, how, and in which folder of runs; `reference` says what is compared with instead of FX.

    `baseline` is the run that this one is held against. A `live` report shows the run after it as soon as that one
    has its own.
    """

    matrix: Matrix
    selected: Selected
    options: Execution
    out: Path
    fresh: bool = False
    resume: bool = False
    reference: str | None = None
    live: bool = False
    baseline: WantedBaseline = "newest"

    @property
    def may_stand(self) -> bool:
        """Whether a later run that wants the same may leave the reports of this one in place.

        Those of a resumed one have something of the command and the YAML that it began with.
        """
        return not (self.live or self.resume) and self.baseline == "newest"


@dataclass(frozen=True, kw_only=True)
class Performed:
    """A run that has its reports: what is in them, where they are, and whether it was interrupted before its end.

    It is `lasting` where another run like it would report nothing else: no script and no bug report is missing, and
    no tolerance has changed since the run before.
    """

    data: Told
    folder: Path
    interrupted: bool
    lasting: bool = True


def perform(context: typer.Context, console: Console, wanted: Wanted, tell: Tell | None = None) -> Performed:
    """Run what has no result yet, write the reports, and tell of the run, in `conclude`'s words unless told otherwise.

    Raises EnvironmentUnusable where nothing can run.
    """
    tools: Collaborators = context.obj
    started = tools.now()
    # The folder is made, and given up again, whole.
    tools.interruption.hold()
    # Until the command ends; where it ends without a plan, for want of torch say, no folder is left.
    folder = context.with_resource(
        conducted(newest_run(wanted.out), started, console)
        if wanted.resume
        else newly_conducted(wanted.out, started, console)
    )
    tools.interruption.heed()
    announce(console, len(wanted.selected.cases), wanted.options)
    origin = wanted.reference
    with recalling(tools, wanted.options, fresh=wanted.fresh, reference=origin) as recall:
        # Before torch is imported, which takes seconds, in which someone may edit the YAML.
        seal = Seal(recall, wanted.matrix, wanted.selected, ("qatrix", *tools.argv))
        may_stand = tell is None and wanted.may_stand
        if may_stand and (found := standing(wanted.out, recall, seal)) is not None:
            console.note(
                f"nothing has changed since run {found.run.id}, and its report stands; --fresh runs every case again"
            )
            conclude(console, found, found.folder)
            return Performed(data=found, folder=found.folder, interrupted=False)
        if wanted.fresh or not recall.knows_environment:
            # Torch is imported there while this process does something else.
            tools.warm_up(wanted.options)
        environment = recall.environment()
        tools.interruption.hold()
        plan = (
            resumed_plan(wanted.matrix, wanted.selected, folder, environment, reference=origin)
            if wanted.resume
            else new_plan(tools, wanted.matrix, wanted.selected, folder, environment, started=started, reference=origin)
        )
        performed = _performed(tools, console, wanted, plan, recall, tell or conclude)
        if may_stand and performed.lasting and not performed.interrupted:
            recall.keep_seal(performed.folder, seal)
        return performed


def _performed(
    tools: Collaborators, console: Console, wanted: Wanted, plan: Plan, recall: Recall, tell: Tell
) -> Performed:
    """Carry out a plan, end its run, and report it."""
    began = time.monotonic()
    finished = Conduct(tools=tools, console=console, plan=plan, options=wanted.options, recall=recall).go()
    changed = _close(plan, seconds=time.monotonic() - began, finished=finished)
    tell_changes(plan.folder / STORE, wanted.baseline)
    performed = _reported(tools, console, wanted, plan=plan, recall=recall, finished=finished, tell=tell)
    return replace(performed, lasting=performed.lasting and not changed)


def _reported(
    tools: Collaborators,
    console: Console,
    wanted: Wanted,
    *,
    plan: Plan,
    recall: Recall,
    finished: bool,
    tell: Tell,
) -> Performed:
    """Write the reports of a run, and tell of it."""
    from qatrix.report.writing import write_results

    cases, store = wanted.selected.cases, plan.folder / STORE
    known: dict[str, str] = {}

    def recalled(data: ReportData) -> Mapping[str, str]:
        known.update(known_scripts(store, data, cases, recall))
        return known

    # A script runs both pipelines.
    has_scripts = wanted.reference is None and finished
    data = write_results(store, plan.folder, live=wanted.live, scripts=recalled if has_scripts else None)
    tell(console, data, plan.folder)
    interrupted = not finished or tools.interruption.asked
    performed = Performed(data=data, folder=plan.folder, interrupted=interrupted)
    is_whole = data.scripts == known != {} and not data.script_notes
    if not has_scripts or interrupted or is_whole:
        return performed
    try:
        tools.interruption.heed()
        whole = add_scripts(console, plan.folder, data, cases, recall)
        tools.interruption.hold()
    except KeyboardInterrupt:
        tools.interruption.hold()
        return replace(performed, interrupted=True)
    return replace(performed, lasting=whole)


# What is missing is a package or two.
_MISSING: Final = 5


def _close(plan: Plan, *, seconds: float, finished: bool) -> bool:
    """End the run in its store; whether tolerances have changed since the run before.

    Every declared case must have ended in exactly one verdict.
    """
    from qatrix.report.ledger import ledger_warnings
    from qatrix.report.store import Store

    with Store.open(plan.folder / STORE) as store:
        changes = () if plan.before is None else ledger_warnings(plan.before, store.ledger())
        warnings = (*plan.run.warnings, *changes)
        store.end(replace(plan.run, seconds=plan.run.seconds + seconds, finished=finished, warnings=warnings))
        ended, unfinished = len(store.seconds()), len(store.unfinished())
    if ended + unfinished != plan.run.declared or (finished and unfinished):
        msg = f"{plan.run.declared} cases were declared, but {ended} ended and {unfinished} did not"
        raise RuntimeError(msg)
    return bool(changes)


def conclude(console: Console, data: Told, folder: Path) -> None:
    """Print the warnings, what is unexpected, and the sum of all verdicts, each with its number."""
    from qatrix.console import counts_line
    from qatrix.report.annotations import annotation_lines

    run, records = data.run, data.records
    for warning in run.warnings:
        console.note(f"warning: {warning}", style="yellow")
    unexpected = [record for record in records if record.unexpected]
    if unexpected:
        console.line(f"{len(unexpected)} unexpected:", style="bold red")
        for record in unexpected:
            console.record(record)
    left = run.declared - len(records)
    counts = counts_line(records).split(", ") if records or not left else []
    console.line(f"declared {run.declared} = {' + '.join([*counts, *([f'{left} not run'] if left else [])])}")
    known = Counter(record.verdict for record in records if record.expected and not record.unexpected)
    differing = sum(count for verdict, count in known.items() if verdict not in UNREMARKABLE)
    as_expected = f"; {_differing(differing)} in the report" if differing else ""
    if hindrance := hindrance_of(records):
        console.line(f"no case could run here: {hindrance}", style="bold red")
    else:
        for line in _unavailable(records):
            console.line(line)
        verdict = f"{len(unexpected) or 'nothing'} unexpected{' so far' if left else ''}"
        console.line(f"{verdict}{as_expected}", style="bold red" if unexpected else "bold green")
    _tell_changes(console, data)
    # What a shard finds is told once, where the shards are merged.
    if os.environ.get("GITHUB_ACTIONS") == "true" and run.shard is None:
        for annotation in annotation_lines(records):
            console.text(annotation)
    console.line(f"report: {folder / 'index.html'}")
    if unexpected:
        console.line(f"next: {_showing(unexpected[0], folder)}")


def _showing(record: Record, folder: Path) -> str:
    """The command that shows a case of the run; the newest run in the folder of runs needs no name."""
    run = [] if folder.parent == REPORTS else ["--run", str(folder)]
    return shlex.join(["qatrix", "show", *run, record.case_id])


def _unavailable(records: Sequence[Record]) -> Iterator[str]:
    """What is missing here, each thing once, with the number of its cases; what is missing as expected is no news."""
    missing = Counter(record.reason for record in records if record.verdict == "unavailable" and not record.expected)
    for reason, count in missing.most_common(_MISSING):
        yield f"{count} unavailable because {reason}"
    if len(missing) > _MISSING:
        yield f"{len(missing) - _MISSING} more reasons in the report"


def _tell_changes(console: Console, data: Told) -> None:
    """What changed since the baseline, and which cases got worse."""
    from qatrix.report.changes import since_line
    from qatrix.report.transitions import KINDS, REGRESSIONS

    if data.since is None:
        return
    moves = [move for move in data.since.moves if move.kind in REGRESSIONS]
    console.line(f"since {since_line(data.since, data.run.started)}", style="bold red" if moves else "")
    for move in moves[:_NAMED]:
        console.line(f"  {KINDS[move.kind].glyph} {move.case_id}")
    left = sum(data.since.counts.get(kind, 0) for kind in REGRESSIONS) - len(moves[:_NAMED])
    if left:
        console.line(f"  … and {left} more")


def _differing(count: int) -> str:
    if count == 1:
        return "1 differs as expected, with its reason"
    return f"{count} differ as expected, with their reasons"


def hindrance_of(records: Sequence[Record]) -> str | None:
    """Why no case could run; None where one did, or where all were skipped or expected to be unavailable.

    A run in which nothing ran must not pass as one in which nothing was wrong.
    """
    if not all(record.verdict in {"unavailable", "skipped"} for record in records):
        return None
    unavailable = (record for record in records if record.verdict == "unavailable" and record.expected is None)
    return next((record.reason or record.summary for record in unavailable), None)
