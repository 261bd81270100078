"""A run from its plan to its last record."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from qatrix import __version__
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.newest import STORE
from qatrix.cli.plans import Plan
from qatrix.cli.recall import Recall
from qatrix.execute.options import Execution
from qatrix.outcomes import Record

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.declare.spec import Case
    from qatrix.outcomes import Environment
    from qatrix.report.store import Store


@dataclass(frozen=True, kw_only=True)
class Conduct:
    """Takes over what is known, has the rest executed, and keeps each record as it comes."""

    tools: Collaborators
    console: Console
    plan: Plan
    options: Execution
    recall: Recall

    def go(self) -> bool:
        """Give every case of the plan its record; whether the run came to its end.

        From then on, a request to end is kept: the reports come first.
        """
        try:
            self.tools.interruption.heed()
            self._go()
            self.tools.interruption.hold()
        except KeyboardInterrupt:
            self.tools.interruption.hold()
            self.console.note(
                "interrupted: writing the reports of the finished cases; press Ctrl-C again to leave without them"
            )
            return False
        return True

    def _go(self) -> None:
        from qatrix.report.store import Store

        known = self.recall.records(self.plan.cases)
        left = tuple(case for case in self.plan.cases if case.case_id not in known)
        if left:
            self.tools.warm_up(self.options)
        self._announce(len(known), len(left))
        with Store.open(self.plan.folder / STORE) as store:
            store.finish_all(map(self._judged, known.values()))
            self._execute(store, left)

    def _announce(self, known: int, left: int) -> None:
        from qatrix.report.figures import counted
        from qatrix.report.sentences import reused_sentence

        done = self.plan.run.declared - len(self.plan.cases)
        cases = counted(self.plan.run.declared, "case")
        of = f"{left} of {cases} {'left' if done else 'to run'}; " if done or known else ""
        self.console.note(f"{of}{_versions(self.plan.run.environment)}")
        if self.plan.run.reference is not None:
            self.console.note(f"compared with {self.plan.run.reference}")
        for note in self.plan.run.environment.notes:
            self.console.note(f"note: {note}", style="yellow")
        if known:
            self.console.note(reused_sentence(known, self.plan.run.declared), style="dim")

    def _execute(self, store: Store, cases: tuple[Case, ...]) -> None:
        with self.console.progress(len(cases)) as progress, ExitStack() as ends:

            def on_start(case: Case) -> None:
                store.start(case.case_id)
                progress.started(case.case_id)

            records = self.tools.execute(cases, options=self.options, on_start=on_start)
            if isinstance(records, Generator):
                # Ends the workers now, whatever holds on to it.
                ends.callback(records.close)
            for record in records:
                # What came with a signal to all processes of the run may be a worker that died of it.
                self.tools.interruption.heed()
                judged = self._judged(record)
                store.finish(judged)
                self.recall.keep(record, self.plan.run.id)
                progress.finished(judged)

    @cached_property
    def _devices(self) -> dict[str, str]:
        return {case.case_id: case.device.name for case in self.plan.cases}

    def _judged(self, record: Record) -> Record:
        """The record with its expectation, which may be another one than when the case was run."""
        from qatrix.judge.verdict import with_expectation

        return with_expectation(record, self.plan.expectations.for_case(record.case_id, self._devices[record.case_id]))


def announce(console: Console, cases: int, options: Execution) -> None:
    """Say at once what is to come: torch is imported before there is more to say, which takes seconds."""
    from qatrix.text import counted

    console.note(f"qatrix {__version__}: {counted(cases, 'case')}, {_place(options)}")


def _versions(environment: Environment) -> str:
    packages = {name: text for name, text in environment.packages.items() if name != "qatrix"}
    told = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    absent = ", ".join(name for name, version in packages.items() if not version)
    return f"{told}; not installed: {absent}" if absent else told


def _place(options: Execution) -> str:
    """Where cases run, in words."""
    if options.engine == "ray":
        return f"on the Ray cluster at {options.address}" if options.address else "on a local Ray cluster"
    if options.workers == 0:
        return "in this process"
    return f"{options.workers} worker{'' if options.workers == 1 else 's'}"
