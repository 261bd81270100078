"""docs/upstream.md: the cases that it names are declared, the declared ones are named, and its figures add up."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from qatrix.declare.globs import compiled_name
from qatrix.declare.load import load
from qatrix.declare.spec import Matrix
from support import warm
from support.expansion import ids
from support.results import results

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "upstream.md").read_text()
EXAMPLES = ROOT / "examples" / "upstream"
OWN = ("upstream_quantizers", "upstream_models", "upstream_executorch")
GRADES = ("as strong", "weaker", "not")


@dataclass(frozen=True)
class Row:
    """One of upstream's tests."""

    file: str
    test: str
    cases: tuple[str, ...]
    grade: str
    needs: str


def rows() -> list[Row]:
    found = []
    for section in re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]:
        for test, cases, grade, needs in re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", section, re.MULTILINE):
            named = tuple(re.findall(r"`([^`]+)`", cases))
            found.append(Row(section.splitlines()[0], test, named, grade.partition(":")[0], needs.strip()))
    return found


def examples() -> Matrix:
    loaded = load([EXAMPLES], allowed_modules=OWN)
    assert loaded.matrix is not None, loaded.problems
    assert loaded.problems == ()
    return loaded.matrix


def shipped() -> Matrix:
    matrix = load([ROOT / "matrix"]).matrix
    assert matrix is not None
    return matrix


ROWS = rows()
DECLARED = ids(examples())


def test_each_test_is_named_once() -> None:
    names = Counter((row.file, row.test) for row in ROWS)

    assert len(ROWS) > 200
    assert [name for name, count in names.items() if count > 1] == []


def test_a_test_has_cases_or_a_reason_why_not() -> None:
    assert [row.test for row in ROWS if row.grade not in GRADES] == []
    assert [row.test for row in ROWS if bool(row.cases) is (row.grade == "not")] == []


def test_the_cases_that_the_page_names_are_declared() -> None:
    known = "\n".join([*DECLARED, *ids(shipped())])

    unknown = [
        case
        for row in ROWS
        for case in row.cases
        if not any(compiled_name(case).fullmatch(name) for name in known.splitlines())
    ]

    assert unknown == []


def test_the_page_names_every_suite_of_the_examples() -> None:
    named = {case.partition("/")[0] for row in ROWS for case in row.cases}

    assert sorted({name.partition("/")[0] for name in DECLARED} - named) == []


def test_the_figures_add_up() -> None:
    table = re.findall(
        r"^\| (?:\[`\w+\.py`\]\(#([\w-]+)\).*|(\*\*all\*\*)) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$",
        PAGE,
        re.MULTILINE,
    )
    figures = {anchor or whole: tuple(map(int, numbers)) for anchor, whole, *numbers in table}
    counted = {
        file.lower().replace(": ", "-"): figures_of([row for row in ROWS if row.file == file])
        for file in dict.fromkeys(row.file for row in ROWS)
    }

    assert figures == {**counted, "**all**": figures_of(ROWS)}


def figures_of(rows: list[Row]) -> tuple[int, ...]:
    grades = Counter(row.grade for row in rows)
    new = sum(bool(row.needs) and row.grade != "not" for row in rows)
    return (len(rows), *(grades[grade] for grade in GRADES), new)


def test_the_sentence_below_the_figures_says_the_same() -> None:
    count, strong, weaker, _, new = figures_of(ROWS)
    sentence = f"So {strong + weaker} of {count} tests are expressed, {strong} of them as strongly, and {new} need"

    assert sentence in PAGE


def test_what_a_case_needs_is_explained() -> None:
    explained = set(re.findall(r"^\| ([\w -]+) \| .*$", PAGE.split("## How many")[0], re.MULTILINE))

    assert {need for row in ROWS if row.needs for need in row.needs.split(", ")} <= explained


SUITES = {
    "annotations, captured non-strict": "x86_linear_reused_with_fusable_post_op",
    "a class of one's own, and who shares an observer": "pt2e_allow_implicit_sharing",
    "a model of one's own, and tags": "metadata_no_metadata_porting_through_unknown_ops",
    "an error that upstream expects": "pt2e_input_edge_sanity_check",
}


@pytest.fixture(scope="module")
def unexpected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Of each case of these suites whether it is unexpected, from one run."""
    out = tmp_path_factory.mktemp("upstream")
    allowed = [word for name in OWN for word in ("--allow-module", name)]
    globs = [word for suite in SUITES.values() for word in ("--case", f"{suite}/*")]
    choice = (str(EXAMPLES), *allowed, *globs, "--workers", "0", "--fresh", "--out", str(out))
    ended = warm.command(out, "run", *choice, path=[EXAMPLES])
    found = {case["case_id"]: case["unexpected"] for case in results(out / "latest")["cases"]}
    assert ended.returncode == any(found.values()), ended.stdout + ended.stderr
    return found


@pytest.mark.torch
@pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)
def test_a_case_ends_as_its_declaration_says(suite: str, unexpected: dict[str, bool]) -> None:
    told = [wrong for case_id, wrong in unexpected.items() if case_id.startswith(f"{suite}/")]
    assert told
    assert not any(told)
