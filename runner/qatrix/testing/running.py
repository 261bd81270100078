"""Runs the cases of a matrix one by one, as pytest asks for them."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qatrix.cli.collaborators import Collaborators
from qatrix.execute.options import Execution, default_workers, limits

if TYPE_CHECKING:
    from qatrix.declare.expected import ExpectationTable
    from qatrix.declare.spec import Case, Matrix
    from qatrix.outcomes import Record


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Runs a case in a process of its own, at most for so many seconds, and applies what is expected of it.

    `allowed` are the modules whose code the user has consented to run.
    """

    root: Path
    matrix: Matrix
    allowed: Sequence[str]
    timeout: float
    tools: Collaborators = field(default_factory=Collaborators)

    def run(self, case: Case) -> Record:
        """The record of a case. Raises EnvironmentUnusable where torch cannot be imported."""
        from qatrix.judge.verdict import with_expectation

        # It imports torch while this process finds out where it runs.
        self.tools.warm_up(self._options)
        expectation = self._expectations.for_case(case.case_id, case.device.name)
        (record,) = self.tools.execute([case], options=self._options, on_start=lambda _: None)
        return with_expectation(record, expectation)

    def command(self, case: Case) -> str:
        """What runs a case without pytest."""
        here = Path.cwd()
        root = self.root.relative_to(here) if here in self.root.parents else self.root
        consents = [word for module in self.allowed for word in ("--allow-module", module)]
        return shlex.join(["qatrix", "run", str(root), "--case", case.case_id, *consents])

    @functools.cached_property
    def _options(self) -> Execution:
        # pytest-xdist has workers; this is the process that keeps a bad case from hurting others.
        return limits(min(1, default_workers()), self.timeout, None)

    @functools.cached_property
    def _expectations(self) -> ExpectationTable:
        """What is expected of the matrix in this environment."""
        from qatrix.cli.recall import recalling
        from qatrix.declare.expected import ExpectationTable

        with recalling(self.tools, self._options, fresh=True) as recall:
            environment = recall.environment()
        return ExpectationTable(self.matrix.expectations, environment.packages, environment.cpu)
