"""What pytest collects and runs: a YAML file of a matrix, and each case that it declares."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from qatrix.errors import DeclarationError, QatrixError
from qatrix.outcomes import NOT_RUN, UNREMARKABLE, Record
from qatrix.testing.gathering import Gathered, Gathering
from qatrix.testing.wording import answer_text, problems_text, record_text

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr

    from qatrix.declare.spec import Case

_GATHERING: Final = pytest.StashKey[Gathering]()


class MatrixWarning(pytest.PytestWarning):
    """Something about a matrix is not as it should be, though its cases can run."""


class UnexpectedRecord(Exception):
    """A case did not end as it should; the message is what there is to say of it."""


class MatrixFile(pytest.File):
    """A YAML file of a matrix, with the cases of its suites; `root` is the folder that is read with it."""

    def __init__(self, *, root: Path, **others: Any) -> None:
        super().__init__(**others)
        self._root = root

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each selected case. All that is wrong with the matrix is told once, by its first file."""
        try:
            gathering = _gathering(self.config)
            is_first = gathering.first_of(self._root)
            gathered = gathering.of(self._root)
        except DeclarationError as error:
            raise self.CollectError(problems_text(error.problems)) from error
        except QatrixError as error:
            raise self.CollectError(str(error)) from error
        if gathered is None:
            return
        if is_first and gathered.warnings:
            self.warn(MatrixWarning(problems_text(gathered.warnings)))
        for case in gathered.cases.get(self.path.resolve(), ()):
            yield CaseItem.from_parent(self, name=case.case_id, case=case, gathered=gathered)


class CaseItem(pytest.Item):
    """A case: it passes, fails where it is unexpected, and is an expected failure where a difference is declared."""

    def __init__(self, *, case: Case, gathered: Gathered, **others: Any) -> None:
        super().__init__(**others)
        self._case = case
        self._gathered = gathered

    def runtest(self) -> None:
        """Run the case, attach its record, and tell pytest what became of it."""
        runner = self._gathered.runner
        record = runner.run(self._case)
        self.add_report_section("call", "qatrix", record_text(record))
        self.user_properties += _properties(record)
        failure = UnexpectedRecord(answer_text(record, *_advice(record, runner.command(self._case))))
        if record.unexpected:
            raise failure
        if record.verdict in NOT_RUN:
            # Told as if it came from the YAML.
            raise pytest.skip.Exception(record.reason or record.summary, _use_item_location=True)
        if record.expected is not None and record.verdict not in UNREMARKABLE:
            pytest.xfail(f"{record.verdict}: {record.expected.because.strip()}")
            # Only with --runxfail, which takes an expected failure as any other.
            raise failure

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        """What the failure says; a traceback is of no use where a case is at fault, or the environment."""
        if isinstance(excinfo.value, UnexpectedRecord | QatrixError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[PathLike[str], int, str]:
        """Where the case is declared, with lines from 0 as pytest counts them."""
        return self.path, self._case.source.line - 1, self.name


def _gathering(config: pytest.Config) -> Gathering:
    """What this session knows of matrices. Raises UsageError for options that make no sense."""
    if _GATHERING not in config.stash:
        from qatrix.cli.consents import allowed_modules
        from qatrix.declare.selection import Selection

        option = config.option
        config.stash[_GATHERING] = Gathering(
            selection=Selection.parse((), option.qatrix_only or (), option.qatrix_tag or ()),
            allowed=allowed_modules(option.allow_module),
            timeout=option.qatrix_timeout,
        )
    return config.stash[_GATHERING]


def _advice(record: Record, command: str) -> Iterator[str]:
    """What there is to say to who reads it in pytest."""
    if record.verdict == "timed_out":
        yield "pytest's option for that is --qatrix-timeout."
    yield f"Run it with a report: {command}"


def _properties(record: Record) -> Iterable[tuple[str, object]]:
    """What other tools read of a case, in JUnit's XML for instance."""
    yield "verdict", record.verdict
    for outcome in record.pipelines.values():
        if outcome.sqnr_db is not None:
            yield f"sqnr_db.{outcome.pipeline}", outcome.sqnr_db
