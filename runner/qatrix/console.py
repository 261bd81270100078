"""Every printed line: rich on a terminal, plain text in a pipe, in CI and under NO_COLOR."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO

from qatrix.errors import OutputError, Problem, QatrixError
from qatrix.grids import Grid
from qatrix.outcomes import Record
from qatrix.report.vocabulary import VERDICTS, Tone, tone_of
from qatrix.text import clipped, one_line, printed, printed_json

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from qatrix.report.explanation import Table

_STYLES: Mapping[Tone, str] = {"good": "green", "fair": "green", "quiet": "dim", "known": "cyan", "bad": "bold red"}
# Wide enough for any table: what reads from a pipe wraps for itself.
_PIPE_WIDTH = 400
_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow"}
# Longer texts are for no terminal: what a line may have, and a part of a problem.
_LONGEST: Final = 100_000
_LONGEST_PART: Final = 2000


class Progress(Protocol):
    """What a run tells while it goes."""

    def started(self, case_id: str) -> None:
        """A case begins."""

    def finished(self, record: Record) -> None:
        """A case has its record."""


# Columns of the bar, and of the smaller one of a terminal that is not roomy; of "1:02:03".
_BAR: Final = 24
_SMALL_BAR: Final = 12
_ROOMY: Final = 100
_TIME_LEFT: Final = 7
# Between these and what follows them.
_SPACES: Final = 3
# A piece of a line and its style.
Piece = tuple[str, str]


class _Printer:
    """One stream: styled by rich on a terminal, plain elsewhere, where importing rich would only cost time.

    All that it prints is text: whatever a declaration, a file name or an error has in it, no control
    character reaches the stream, and no line that a CI system would take for a command. Only
    `write` hands over what it is given. What it is not needed for, it loses in silence when the
    stream fails.
    """

    def __init__(self, stream: TextIO, *, needed: bool) -> None:
        self._stream = stream
        self._needed = needed
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            # What the stream's encoding lacks is no reason to fail. Done once, because it flushes.
            stream.reconfigure(errors="backslashreplace")
        self.on_terminal = stream.isatty() and not os.environ.get("NO_COLOR")

    def print(self, *pieces: Piece) -> None:
        """A line made of styled pieces, or several where they have line breaks."""
        shown = [(printed(clipped(text, _LONGEST)), style) for text, style in pieces]
        if self.on_terminal:
            from rich.text import Text

            self.rich.print(Text.assemble(*shown))
        else:
            self.write("".join(text for text, _ in shown))

    def table(self, table: Table) -> None:
        """A table that rich lays out; in a pipe as wide as it needs to be, and plain."""
        if self.on_terminal:
            self.rich.print(_laid_out(table), soft_wrap=False, crop=False)
            return
        from rich.console import Console as RichConsole

        plain = RichConsole(width=_PIPE_WIDTH, no_color=True, force_terminal=False, highlight=False)
        with plain.capture() as captured:
            plain.print(_laid_out(table), crop=False)
        for line in captured.get().splitlines():
            self.write(line.rstrip())

    def write(self, text: str) -> None:
        """A line as it is; raises OutputError where the stream is needed and cannot take it."""
        with self._told():
            print(text, file=self._stream)

    def flush(self) -> None:
        """Hand over what is buffered; raises as `write` does."""
        with self._told():
            self._stream.flush()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A reader that went away (`qatrix list | head`) is no fault, and the exit code stays what it is."""
        try:
            yield
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._needed and not isinstance(error, BrokenPipeError):
                msg = f"standard output cannot be written: {error.strerror}"
                raise OutputError(msg) from error

    @property
    def width(self) -> int | None:
        """The columns of the terminal, None elsewhere."""
        return self.rich.width if self.on_terminal else None

    @functools.cached_property
    def rich(self) -> RichConsole:
        """The terminal."""
        from rich.console import Console as RichConsole

        return RichConsole(file=self._stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


class Console:
    """Standard output for results, standard error for everything about them.

    With `answers`, what is unexpected about a case is told at the end, and not as it ends.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        answers: bool = False,
        out: TextIO | None = None,
        err: TextIO | None = None,
    ) -> None:
        self._out = _Printer(out or sys.stdout, needed=True)
        self._err = _Printer(err or sys.stderr, needed=False)
        self._quiet = quiet
        self._verbose = verbose
        self._answers = answers

    def line(self, text: str = "", style: str = "") -> None:
        """A line of the result."""
        self._out.print((text, style))

    def paragraph(self, text: str) -> None:
        """A line of the result that may be long: on a terminal it is wrapped between words, indented as it begins."""
        width = self._out.width
        if width is None:
            self.line(text)
            return
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        for line in textwrap.wrap(printed(text), width, subsequent_indent=indent, break_on_hyphens=False) or [""]:
            self.line(line)

    def text(self, text: str) -> None:
        """A line for other programs, as it is: a case id, a script, a workflow command.

        Whoever hands it over answers for what is in it.
        """
        self._out.write(text)

    def json(self, content: object, *, indent: int) -> None:
        """JSON for other programs, which commands no log either."""
        self._out.write(printed_json(json.dumps(content, indent=indent)))

    def flush(self) -> None:
        """Hand over all results; raises OutputError where the disk is full."""
        self._out.flush()

    def note(self, text: str, style: str = "") -> None:
        """A line about the result; silent under --quiet."""
        if not self._quiet:
            self._err.print((text, style))

    def problem(self, problem: Problem) -> None:
        """A fault of a declaration: place and message, then where in the file, what was expected, a hint."""
        place = f"{_part(str(problem.source))}: " if problem.source else ""
        style = _SEVERITY_STYLES[problem.severity]
        self._err.print((place, "bold"), (f"{problem.severity}: ", style), (_part(problem.message), ""))
        for label, text in (("at ", problem.at), ("expected ", problem.expected), ("", problem.hint)):
            if text:
                self._err.print((f"    {label}{_part(text)}", "dim"))

    def error(self, error: QatrixError) -> None:
        """An error that ends the command; several lines of it are indented below the first."""
        first, *rest = (str(error) or type(error).__name__).split("\n")
        self._err.print(("error: ", "bold red"), (first, ""))
        for text in rest:
            self._err.print((f"    {text}", ""))

    def record(self, record: Record, *, count: str = "", stderr: bool = False, alone: bool = False) -> None:
        """One case in one line, and what is unexpected about it in a second, unless the line is to stand alone."""
        words = VERDICTS[record.verdict]
        style = _STYLES[tone_of(record.verdict, unexpected=record.unexpected)]
        printer = self._err if stderr else self._out
        verdict = f"{words.glyph} {words.word:<12}"
        printer.print((count, ""), (verdict, style), (f" {record.seconds:7.2f} s  {_part(record.case_id)}", ""))
        if record.unexpected and not self._answers and not alone:
            printer.print((f"    {_part(record.summary)}", ""))
            printer.print((f"    {_part(str(record.unexpected_because).strip())}", "red"))

    def _each(self, record: Record) -> bool:
        """Whether a record has a line of its own beside the bar."""
        return self._verbose or (record.unexpected and not self._answers)

    def table(self, table: Table) -> None:
        """A table under its title; the marked row is the one to look at first."""
        self._out.table(table)

    @contextmanager
    def progress(self, total: int) -> Iterator[Progress]:
        """A bar on a terminal, a line per case elsewhere, nothing under --quiet."""
        if self._quiet:
            yield _Silent()
        elif self._err.on_terminal and "CI" not in os.environ:
            with _Bar(self, self._err.rich, total, each=self._each) as bar:
                yield bar
        else:
            yield _Lines(self, total)


def _part(text: str) -> str:
    """A part of a line, on one line and no longer than a person reads."""
    return one_line(clipped(text, _LONGEST_PART))


def _laid_out(table: Table) -> Grid:
    return Grid(table, styles=_STYLES.__getitem__, part=_part)


class _Silent:
    def started(self, case_id: str) -> None:
        pass

    def finished(self, record: Record) -> None:
        pass


class _Lines:
    """One plain line per finished case, numbered."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0

    def started(self, case_id: str) -> None:
        pass

    def finished(self, record: Record) -> None:
        self._done += 1
        width = len(str(self._total))
        self._console.record(record, count=f"[{self._done:{width}}/{self._total}] ", stderr=True)


class _Bar:
    """A bar with the counts by verdict, the rate, the time left, and the case that is running."""

    def __init__(
        self, console: Console, rich_console: RichConsole, total: int, *, each: Callable[[Record], bool]
    ) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._console = console
        self._each = each
        self._counts: Counter[str] = Counter()
        self._began = time.monotonic()
        self._current = ""
        bar = _BAR if rich_console.width >= _ROOMY else _SMALL_BAR
        # What must always be there has its room; the rest is cut off to what is left of the line.
        self._room = max(0, rich_console.width - (2 * len(str(total)) + 1) - bar - _TIME_LEFT - _SPACES)
        columns = (
            MofNCompleteColumn(),
            BarColumn(bar_width=bar),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[told]}", markup=False),
        )
        self._progress = RichProgress(*columns, console=rich_console, transient=True)
        self._task = self._progress.add_task("", total=total, told="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def started(self, case_id: str) -> None:
        self._current = one_line(case_id)
        self._progress.update(self._task, told=self._told())

    def finished(self, record: Record) -> None:
        self._counts[record.verdict] += 1
        self._progress.update(self._task, advance=1, told=self._told())
        if self._each(record):
            self._console.record(record, stderr=True)

    def _told(self) -> str:
        done = sum(self._counts.values())
        counts = [f"{VERDICTS[verdict].glyph}{count}" for verdict, count in _by_severity(self._counts)]
        rate = [f"{done / max(time.monotonic() - self._began, 1e-9):.1f}/s"] if done else []
        return _shortened(" ".join([*counts, *rate, self._current]), self._room)


def counts_line(records: Sequence[Record]) -> str:
    """The numbers in words, the worst last: "70 exact, 4 skipped, 2 diverged"."""
    counts = Counter(record.verdict for record in records)
    return ", ".join(f"{count} {VERDICTS[verdict].word}" for verdict, count in _by_severity(counts)) or "nothing"


def _by_severity(counts: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return [(verdict, counts[verdict]) for verdict in reversed(VERDICTS) if counts.get(verdict)]


def _shortened(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"[:width]
