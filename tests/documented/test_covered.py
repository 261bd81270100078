"""Every command and every snippet of the documentation is run by a test or by CI, or a reason says why not."""

from __future__ import annotations

import ast
import functools

import pytest
import yaml

from support.documented import (
    ELSEWHERE,
    LINES_TESTED,
    SHOWN,
    SNIPPETS_TESTED,
    goes_on,
    needs_torch,
    runs_in_ci,
    typed_here,
)
from support.pages import LINES, PAGES, ROOT, SNIPPETS, blocks, typed_in
from support.snippets import SNIPPETS_HERE

WAYS = {
    "is typed here": typed_here,
    "is typed here with torch": needs_torch,
    "is watched here": goes_on,
    "is run by another test": LINES_TESTED.__contains__,
    "is run by CI": runs_in_ci,
    "has its reason": ELSEWHERE.__contains__,
}
# What the shell of the tests runs; anything else needs its test or its reason.
RUNNABLE = ("qatrix ", "PYTHONPATH=. qatrix ", "export PYTHONPATH=", "cat ")


@functools.cache
def functions_of(file: str) -> frozenset[str]:
    """The names of the functions of a module of tests."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


@pytest.mark.parametrize("line", dict.fromkeys(line.text for line in LINES))
def test_a_command_runs_in_one_way_or_has_its_reason(line: str) -> None:
    ways = [way for way, holds in WAYS.items() if holds(line)]

    assert len(ways) == 1, f"{line}: {ways}; write a test that runs it, or a reason into tests/support/documented.py"
    assert ways != ["is typed here"] or line.startswith(RUNNABLE), f"{line}: no test of the documentation can run it"


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.name)
def test_a_snippet_runs_or_is_shown_by_a_command(snippet: object) -> None:
    name = snippet.name  # type: ignore[attr-defined]  # a parameter of pytest has no type
    shown = {page for page, _ in SHOWN.values()}

    assert [name in table for table in (SNIPPETS_TESTED, SNIPPETS_HERE, shown)].count(True) == 1, name


def test_no_claim_is_about_what_is_gone() -> None:
    lines, names = {line.text for line in LINES}, {snippet.name for snippet in SNIPPETS}

    assert {*ELSEWHERE, *LINES_TESTED, *SHOWN} - lines == set()
    assert {*SNIPPETS_TESTED, *SNIPPETS_HERE, *(page for page, _ in SHOWN.values())} - names == set()


@pytest.mark.parametrize("test", sorted({*LINES_TESTED.values(), *SNIPPETS_TESTED.values()}))
def test_a_test_that_is_named_is_there(test: str) -> None:
    file, _, name = test.partition("::")

    assert name in functions_of(file)


def test_a_workflow_that_others_copy_has_no_command_without_a_test() -> None:
    (steps,) = (
        yaml.safe_load(snippet.text)["jobs"]["check"]["steps"]
        for snippet in SNIPPETS
        if snippet.name == "docs/security.md: yml 1"
    )

    # tests/documented/test_snippets.py runs the second.
    assert [step["run"] for step in steps if "run" in step] == ["pip install ./base", "qatrix check ../theirs/matrix"]


def test_the_pages_have_what_the_tests_expect_of_pages() -> None:
    assert len(LINES) > 120
    assert len(SNIPPETS) > 60
    assert all(path.is_file() for path in PAGES)


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        ("$ one\nits output\n$ two  # why\n", ["one", "two"]),
        ("one\ntwo\n", ["one", "two"]),
        ("$ one \\\n    more\n", ["one      more"]),
        ("$ say 'a#b'\n", ["say 'a#b'"]),
    ],
)
def test_what_is_typed_is_told_from_what_is_printed(block: str, lines: list[str]) -> None:
    assert typed_in(block) == lines


def test_a_block_in_a_list_is_a_block_too() -> None:
    assert list(blocks("- so:\n\n  ```console\n  $ one\n  ```\n")) == [("console", "$ one\n")]
