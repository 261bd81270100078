"""The cases of the matrices that a session of pytest collects, each matrix read once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qatrix.errors import DeclarationError, Problem

if TYPE_CHECKING:
    from qatrix.declare.selection import Selection
    from qatrix.declare.spec import Case
    from qatrix.testing.running import Runner


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """The selected cases of a matrix by the files that declare them, what runs them, and warnings about both."""

    cases: Mapping[Path, Sequence[Case]]
    runner: Runner
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Reads matrices; `allowed` are the modules whose code the user has consented to run, `timeout` is in seconds."""

    selection: Selection
    allowed: Sequence[str]
    timeout: float
    _known: dict[Path, Gathered | None] = field(default_factory=dict)

    def first_of(self, root: Path) -> bool:
        """Whether a matrix has not been asked for yet."""
        return root not in self._known

    def of(self, root: Path) -> Gathered | None:
        """What a matrix declares; None where an earlier call has raised what is wrong with it.

        Raises DeclarationError with all of its problems, and UsageError where nothing of it is selected.
        """
        if root not in self._known:
            self._known[root] = None
            self._known[root] = self._read(root)
        return self._known[root]

    def _read(self, root: Path) -> Gathered:
        from qatrix.cli.matrices import selected_cases, stale_expectations
        from qatrix.declare.load import load
        from qatrix.testing.running import Runner

        loaded = load([root], allowed_modules=self.allowed)
        if loaded.matrix is None:
            raise DeclarationError(loaded.problems)
        selected = selected_cases(loaded.matrix, self.selection)
        cases: dict[Path, list[Case]] = defaultdict(list)
        for case in selected.cases:
            cases[Path(case.source.file).resolve()].append(case)
        stale = stale_expectations(loaded.matrix, selected.declared, {})
        return Gathered(
            cases=cases,
            runner=Runner(root=root, matrix=loaded.matrix, allowed=self.allowed, timeout=self.timeout),
            warnings=(*loaded.problems, *selected.problems, *stale),
        )
