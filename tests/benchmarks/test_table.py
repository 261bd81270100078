"""The table in its three forms."""

from __future__ import annotations

import json
import platform
import sys

import pytest
from rich.console import Console

from benchmarks.rows import Row
from benchmarks.table import as_json, machine, markdown, terminal

GOOD = Row(
    name="one", what="one", figure="2 times", figures={"times": 2.0}, reach="at least 1", reached=True, how="by hand"
)
MISSED = Row(name="three", what="three", figure="9 s", reach="under 1 s", reached=False)


def test_the_table_marks_what_is_reached_and_says_how() -> None:
    text = markdown([GOOD, MISSED], "here")

    assert text.startswith("Measured by `tox -e bench` on here.\n")
    assert "| one | 2 times | at least 1 | ✓ |\n| three | 9 s | under 1 s | ✗ |\n" in text
    assert text.endswith("- one: by hand\n")


def test_what_a_failed_process_printed_stays_in_its_cell() -> None:
    row = Row(what="one", figure="failed: RuntimeError:\n  last | words", reached=False)

    assert "| one | failed: RuntimeError: last \\| words |  | ✗ |\n" in markdown([row], "here")


def test_a_terminal_shows_the_same() -> None:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(terminal([GOOD, MISSED], "2 cores [of something]"))

    lines = captured.get().splitlines()
    assert any("2 times" in line and "at least 1" in line and "✓" in line for line in lines)
    assert any("9 s" in line and "under 1 s" in line and "✗" in line for line in lines)
    assert lines[-1] == "Measured on 2 cores [of something]."


def test_the_table_is_there_for_programs_too() -> None:
    content = json.loads(as_json([GOOD], "here"))

    assert content["machine"] == "here"
    assert (content["rows"][0]["reached"], content["rows"][0]["figures"]) == (True, {"times": 2.0})


@pytest.mark.parametrize(
    ("unkept", "end"), [(False, "torch 2"), (True, "torch 2, no bytecode kept")], ids=["kept", "not kept"]
)
def test_the_machine_is_told_with_its_versions(monkeypatch: pytest.MonkeyPatch, unkept: bool, end: str) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", unkept)

    place = machine(["torch 2"])

    assert " cores of " in place
    assert place.endswith(f"Python {platform.python_version()}, {end}")
