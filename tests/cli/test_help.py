"""The help: verbs in sections, each with a summary that is whole on a terminal of 80 columns."""

from __future__ import annotations

import re

import pytest

from support.project import Project

SECTIONS = {"Run": "run", "Look": "show", "Compare": "compare", "Set up": "init"}


@pytest.fixture
def told(project: Project, monkeypatch: pytest.MonkeyPatch) -> str:
    """The help on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return project.run("--help").out


def test_verbs_are_in_sections_the_most_used_first(told: str) -> None:
    found = re.findall(r"^([A-Z][A-Za-z ]+):\n  (\S+)", told, re.MULTILINE)

    assert dict(found[1:]) == SECTIONS
    assert [name for name, _ in found] == ["Options", *SECTIONS]


def test_no_summary_is_cut_off_or_wrapped(told: str) -> None:
    verbs = told.partition("\nRun:\n")[2].splitlines()

    assert all(line.endswith((".", ":")) and not line.endswith("...") for line in verbs if line)
    assert max(map(len, told.splitlines())) <= 80
