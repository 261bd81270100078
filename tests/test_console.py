"""The console: plain lines in a pipe, colour and a bar on a terminal."""

from __future__ import annotations

import io
import json
import re

import pytest

from qatrix.console import Console, counts_line
from qatrix.errors import Problem, Source, UsageError
from qatrix.report.explanation import Cell, Table
from support.hostile import HOSTILE_TEXTS, commands_in, hidden_in, unstyled
from support.records import make_diverged, make_hostile, make_record, make_skipped


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal with colour."""
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


COMMAND = HOSTILE_TEXTS["command of Azure"]
PROBLEM = Problem(
    source=Source(file="m.yaml", line=3, column=5),
    message="unknown conv kind 'convv'",
    at="suite 'conv', axis 'conv', item 2",
    expected="conv or conv_transpose",
    hint="did you mean 'conv'?",
)


def test_a_problem_is_told_in_four_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Console().problem(PROBLEM)

    assert capsys.readouterr().err == (
        "m.yaml:3:5: error: unknown conv kind 'convv'\n"
        "    at suite 'conv', axis 'conv', item 2\n"
        "    expected conv or conv_transpose\n"
        "    did you mean 'conv'?\n"
    )


def test_an_error_of_several_lines_is_indented(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error(UsageError("one\ntwo"))

    assert capsys.readouterr().err == "error: one\n    two\n"


def test_text_that_looks_like_markup_is_printed_as_it_is(terminal: Terminal) -> None:
    Console(err=terminal).note("[bold]x[/bold] :smile:", style="yellow")

    assert "[bold]x[/bold] :smile:" in terminal.getvalue()
    assert "\x1b[33m" in terminal.getvalue()


def test_counts_name_the_worst_last() -> None:
    records = [make_diverged("s/a"), make_record("s/b"), make_record("s/c"), make_skipped("s/d")]

    assert counts_line(records) == "2 exact, 1 skipped, 1 diverged"
    assert counts_line([]) == "nothing"


def test_a_terminal_has_a_bar_and_lines_for_what_is_unexpected(terminal: Terminal) -> None:
    with Console(err=terminal).progress(2) as progress:
        for record in (make_record("s/fine"), make_diverged("s/apart", unexpected=True, unexpected_because="news")):
            progress.started(record.case_id)
            progress.finished(record)
    text = terminal.getvalue()

    assert "s/apart" in text
    assert "news" in text
    assert "2/2" in text


def test_verbose_tells_every_case_beside_the_bar(terminal: Terminal) -> None:
    with Console(verbose=True, err=terminal).progress(1) as progress:
        progress.started("s/" + "long" * 30)
        progress.finished(make_record("s/fine"))

    assert "s/fine" in terminal.getvalue()


def test_what_is_answered_at_the_end_is_not_told_as_cases_end(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_diverged("s/apart", unexpected=True, unexpected_because="news")
    for console in (Console(answers=True, err=terminal), Console(answers=True)):
        with console.progress(1) as progress:
            progress.started(record.case_id)
            progress.finished(record)

    assert "news" not in terminal.getvalue()
    assert capsys.readouterr().err.count("\n") == 1


def test_a_paragraph_is_wrapped_between_words_on_a_terminal_alone(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    pipe = io.StringIO()
    for stream in (terminal, pipe):
        Console(out=stream).paragraph("  one two three four five six")

    assert unstyled(terminal.getvalue()).splitlines() == ["  one two three four", "    five six"]
    assert pipe.getvalue() == "  one two three four five six\n"


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_a_paragraph_is_text(terminal: Terminal, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    Console(out=terminal).paragraph(f"  {'word ' * 3}{text} {text}")

    assert not hidden_in(unstyled(terminal.getvalue()))
    assert not commands_in(unstyled(terminal.getvalue()))


def test_quiet_tells_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.note("hush")
    with console.progress(1) as progress:
        progress.started("s/a")
        progress.finished(make_record("s/a"))

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_whatever_is_printed_is_text(terminal: Terminal, text: str) -> None:
    piped = io.StringIO()
    for stream in (terminal, piped):
        tell_everything(Console(verbose=True, out=stream, err=stream), text)
        output = unstyled(stream.getvalue())
        assert hidden_in(output) == []
        assert commands_in(output) == []


def tell_everything(console: Console, text: str) -> None:
    """Every kind of line that has text from outside."""
    source = Source(file=text, line=1, column=1)
    console.line(text)
    console.note(text)
    console.error(UsageError(text))
    console.problem(Problem(source=source, message=text, at=text, expected=text, hint=text))
    console.record(make_hostile(text), count=text)
    cell = Cell(text=text)
    console.table(Table(title=text, columns=(text,), rows=((cell,),), marked=0))


def test_no_line_of_a_wrapped_table_is_a_command(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = f"{'x' * 400} ::error::owned"
    table = Table(title=long, columns=(long,), rows=((Cell(text=long, tone="bad"),),))
    piped = io.StringIO()
    for stream in (terminal, piped):
        Console(out=stream).table(table)
        output = unstyled(stream.getvalue())
        assert commands_in(output) == []
        assert r"\x3a:error::owned" in output


WIDE = Table(
    title="Layers after prepare",
    columns=("layer", "op", "", "max abs", "steps", "pt2e dB", "fx dB", "note"),
    rows=tuple(
        (
            Cell(text=f"features.{place}.conv (with features.{place}.bn)"),
            Cell(text="AdaptiveAvgPool2d"),
            Cell(text="≠ check failed", tone="bad"),
            *(Cell(text=number, numeric=True) for number in ("0.00882", "12345.6", "35.8", "-101.4")),
            Cell(text="scale 0.0013…0.00382, zero point -128"),
        )
        for place in range(2)
    ),
    marked=1,
)


@pytest.mark.parametrize("columns", [30, 60, 80, 100, 120, 200])
def test_no_table_breaks_a_number_or_a_verdict(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Console(out=terminal).table(WIDE)
    lines = unstyled(terminal.getvalue()).splitlines()
    words = " ".join(lines).split()

    assert max(len(line.rstrip()) for line in lines) <= columns
    for number in ("0.00882", "12345.6", "35.8", "-101.4", "-128", "0.0013…0.00382"):
        assert sum(word.rstrip(",") == number for word in words) == 2
    assert sum("≠ check failed" in line for line in lines) == 2 or columns == 30
    assert sum("→" in line for line in lines) == 1


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_run_keeps_count_bar_and_time_left(terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    records = [make_record(f"{'long/' * 30}{place}") for place in range(999)]
    with Console(err=terminal).progress(2737) as progress:
        for record in records:
            progress.started(record.case_id)
            progress.finished(record)
    drawn = [line for line in re.split(r"[\r\n]|\x1b\[2K", unstyled(terminal.getvalue())) if "/2737" in line]
    line = drawn[-1]

    assert re.match(r" 999/2737 [━╸╺]{12,24} (\d+:)?\d\d:\d\d ✓999 ", line)
    assert len(line) <= columns


def test_json_on_standard_output_commands_no_log() -> None:
    out = io.StringIO()
    Console(out=out).json({COMMAND: [COMMAND]}, indent=1)

    assert commands_in(out.getvalue()) == []
    assert json.loads(out.getvalue()) == {COMMAND: [COMMAND]}


def test_a_problem_with_a_very_long_name_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    name = "x" * 100_000
    Console().problem(Problem(source=Source(file=name, line=1, column=1), message=name, at=name, hint=name))

    assert len(capsys.readouterr().err) < 10_000


def test_what_an_encoding_lacks_is_spelled_out() -> None:
    bytes_of_it = io.BytesIO()
    console = Console(out=io.TextIOWrapper(bytes_of_it, encoding="ascii"))
    console.line("a → b")
    console.flush()

    assert bytes_of_it.getvalue() == b"a \\u2192 b\n"
