"""Which folder is a matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare import files
from qatrix.pytest_plugin.places import SUFFIXES, declares_suites, matrix_of

SUITES = "suites:\n  s: {}\n"


def write(top: Path, **files: str) -> None:
    for name, text in files.items():
        path = top / name.replace("__", "/")
        path = path.with_name(f"{path.name}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def test_the_files_are_those_that_qatrix_reads() -> None:
    assert SUFFIXES == files.SUFFIXES


@pytest.mark.parametrize(
    ("text", "declares"),
    [
        ("suites:\n", True),
        ("patterns: {}\nsuites: {}\n", True),
        ('"suites" : {}\n', True),
        ("\ufeffsuites: {}\n", True),
        ("jobs:\n  suites: {}\n", False),
        ("# suites:\n", False),
        ("test_suites: {}\n", False),
    ],
)
def test_suites_at_the_top_of_a_file_make_its_folder_a_matrix(tmp_path: Path, text: str, declares: bool) -> None:
    write(tmp_path, m__a=text)

    assert declares_suites(tmp_path / "m") == declares


@pytest.mark.parametrize("named", ["m", "m/suites", "m/suites/s.yaml", "m/patterns.yaml"])
def test_the_whole_matrix_is_read_whatever_part_of_it_is_named(tmp_path: Path, named: str) -> None:
    write(tmp_path, m__suites__s=SUITES, m__patterns="patterns: {}\n")
    file = tmp_path / "m/suites/s.yaml"

    assert matrix_of(file, tmp_path / named, tmp_path) == tmp_path / "m"


def test_a_folder_of_tests_that_has_yaml_somewhere_below_is_no_matrix(tmp_path: Path) -> None:
    write(tmp_path, tests__data__s=SUITES)

    assert matrix_of(tmp_path / "tests/data/s.yaml", tmp_path / "tests", tmp_path) is None


def test_a_file_beside_pytests_configuration_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path, mine=SUITES, other="services: {}\n")
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"

    assert matrix_of(mine, mine, tmp_path) == mine
    assert matrix_of(other, other, tmp_path) is None


def test_a_matrix_outside_of_the_folder_of_pytests_configuration_is_the_folder_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, elsewhere__m__s=SUITES, elsewhere__t=SUITES)

    assert matrix_of(tmp_path / "elsewhere/m/s.yaml", tmp_path / "elsewhere/m", tmp_path / "top") == (
        tmp_path / "elsewhere/m"
    )
