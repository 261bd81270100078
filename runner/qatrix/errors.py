"""The errors a user can meet, and the exit code of each. Only `cli` exits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, kw_only=True, order=True)
class Source:
    """A place in a YAML file; line and column count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One fault of one declaration: where it is, what was found, what was expected.

    `message` says what was found, `at` is the breadcrumb inside the file
    ("suite 'conv_bn', axis 'dim', item 2"), `expected` what would have been right,
    `hint` the nearest name or the spelling that works. Warnings do not stop a run.
    """

    source: Source | None
    message: str
    at: str | None = None
    expected: str | None = None
    hint: str | None = None
    severity: Literal["error", "warning"] = "error"


class QatrixError(Exception):
    """Base of every error that ends the command with a message instead of a traceback."""

    exit_code: ClassVar[int] = 2


class DeclarationError(QatrixError):
    """The declarations are wrong; carries every problem that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{len(problems)} problem(s) in the declarations")
        self.problems = problems


class UsageError(QatrixError):
    """The arguments are wrong: an empty selection, an unknown case, a bad shard."""


class OutputError(QatrixError):
    """A folder or a file cannot be written."""


class FolderInUse(QatrixError):
    """Another process writes to the folder."""


class ReferenceUnusable(QatrixError):
    """A file of frozen results cannot be used: missing, damaged, of another kind or version."""


class StoreError(QatrixError):
    """A run store cannot be opened: missing, damaged, or of another schema version."""


class EnvironmentUnusable(QatrixError):
    """This environment cannot run any case, for instance because torch is missing."""

    exit_code = 3


EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130
