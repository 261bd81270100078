"""The command: what it prints and writes, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from mutants import __main__ as program
from mutants.campaign import Choice, Mutant, Result, Status
from mutants.faults import FAULTS
from mutants.page import BEGIN, END

PAGE = Path(__file__).parents[2] / "docs/checks.md"
Command = Callable[..., tuple[int, str]]


def results(status: Status) -> Iterator[Result]:
    for pipelines in (("pt2e", "fx"), ("fx",)):
        mutant = Mutant(case_id="calibrated/a", fault="relu_lost", layer="relu", pipelines=pipelines)
        yield Result(mutant=mutant, status=status, because="sound")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs the program on stand-ins for results; its exit code and output."""
    page = tmp_path / "checks.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    monkeypatch.setattr(program, "PAGE", page)

    def run(*args: str, status: Status = "killed") -> tuple[int, str]:
        def stand_in(choice: Choice, *, jobs: int) -> Iterator[Result]:
            return results(status)

        monkeypatch.setattr(program, "run", stand_in)
        app = Typer()
        app.command()(program.main)
        done = CliRunner().invoke(app, args)
        return done.exit_code, done.output

    return run


def test_it_prints_the_table_and_how_much_was_killed(command: Command) -> None:
    code, output = command()

    assert code == 0
    assert "| `relu_lost` | 1 | 1 | 0 | 0 | 1 | 1 | 0 | 0 | 0 | 0 |" in output
    assert "alone: 1 of 1 killed, 100.0 % (98 % are due); 1 planted, 0 of them equivalent, 0 raised" in output
    assert "calibrated/a: 2 mutants so far, 2 killed" in output


def test_it_ends_with_1_where_mutants_survive(command: Command) -> None:
    code, output = command(status="survived")

    assert code == 1
    assert "survived: relu_lost at relu in pt2e and fx of calibrated/a: sound" in output


def test_it_writes_the_page_where_it_is_told_to(command: Command) -> None:
    command()
    untouched = program.PAGE.read_text()
    command("--write", status="survived")

    assert untouched == f"{BEGIN}\n{END}\n"
    assert "| `relu_lost` | 1 | 0 | 0 | 1 |" in program.PAGE.read_text()


def test_it_lists_the_kinds(command: Command) -> None:
    code, output = command("--list")

    assert code == 0
    assert all(fault.name in output and fault.about in output for fault in FAULTS)


def test_a_kind_that_there_is_not_is_refused(command: Command) -> None:
    code, output = command("--kind", "relu_list")

    assert code == 2
    assert "there is no kind of fault 'relu_list'" in output


@pytest.mark.parametrize("option", ["--kind", "--model", "--list", "--sample", "--seed", "--jobs", "--write"])
def test_every_option_is_documented(option: str) -> None:
    assert f"| `{option}" in PAGE.read_text()


def test_the_page_has_a_place_for_the_table() -> None:
    before, _, after = PAGE.read_text().partition(BEGIN)

    assert END not in before
    assert END in after
