"""The promises are judged rightly: what keeps them passes, what breaks one is told."""

from __future__ import annotations

import pytest

from support.fuzzing.confinement import Ended
from support.fuzzing.properties import check_faults, faults, is_obeyed, is_shown_as, list_faults

FILES = {b"matrix/a.yaml": b"a: 1\n"}
PROBLEM = "matrix/a.yaml:1:4: error: it is wrong\n    at tolerance 'a'\n1 error\n"


def ended(code: int = 0, out: str = "", err: str = "", seconds: float = 0.1) -> Ended:
    return Ended(argv=("check",), code=code, out=out.encode(), err=err.encode(), seconds=seconds, mebibytes=30)


@pytest.mark.parametrize(
    "kept",
    [
        ended(2, err=PROBLEM),
        ended(0, out="matrix: no problems, 4 cases\n"),
        ended(0, out="matrix: 1 warning, 4 cases\n", err="matrix/a.yaml:2:1: warning: it is odd\n"),
        ended(2, err="error: the matrix declares no case\n"),
    ],
)
def test_a_check_that_keeps_its_promises_has_no_faults(kept: Ended) -> None:
    assert list(check_faults(kept, FILES)) == []


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        (ended(1, err="this is a bug in qatrix: IndexError\n"), "the exit code is 1"),
        (ended(1, err="this is a bug in qatrix: IndexError\n"), "it calls itself a bug"),
        (ended(2, err="Traceback (most recent call last):\n"), "a traceback is printed"),
        (ended(2, err=PROBLEM, seconds=5.1), "it took 5.1 s of processor time"),
        (ended(2, err=PROBLEM.replace("wrong", "\x1b[31m")), "the errors hold '\\x1b'"),
        (ended(2, err=PROBLEM.replace("wrong", "\u202e")), "the errors hold '\\u202e'"),
        (ended(2, err=PROBLEM.replace("wrong", "\n::error::x")), "a line of the errors is a command of a CI service"),
        (ended(2, err=PROBLEM.replace("wrong", "\r##[error]")), "a line of the errors is a command of a CI service"),
        (ended(2, err=PROBLEM.replace("wrong", "w" * 130_000)), "a line of the errors has 130032 characters"),
        (
            ended(2, err=PROBLEM.replace(":1:4", ":3:1")),
            "'matrix/a.yaml:3:1' is a line that is not there: the file has 2",
        ),
        (
            ended(2, err=PROBLEM.replace(":1:4", ":1:6")),
            "'matrix/a.yaml:1:6' is a column that is not there: the line has 4 characters",
        ),
        (ended(2, err=PROBLEM.replace("a.yaml", "b.yaml")), "'matrix/b.yaml:1:4' is in no file that is there"),
        (ended(2, err=PROBLEM.replace("matrix/a.yaml:1:4: ", "")), "it has no place: 'error: it is wrong'"),
        (ended(2, err="1 error\n"), "the exit code is 2 with 0 errors"),
        (ended(0, out="matrix: no problems, 4 cases\n", err=PROBLEM), "the exit code is 0 with 1 errors"),
        (ended(2, out="matrix: no problems, 4 cases\n", err=PROBLEM), "there is a result though there is an error"),
        (ended(2, err=f"anything\n{PROBLEM}"), "'anything' is none of the lines that are printed"),
    ],
)
def test_a_broken_promise_is_told(broken: Ended, fault: str) -> None:
    assert fault in list(check_faults(broken, FILES))


def test_output_that_is_no_text_is_told() -> None:
    broken = Ended(argv=(), code=0, out=b"\xff", err=b"", seconds=0, mebibytes=0)

    assert list(faults(broken, (0,))) == ["the output are not UTF-8"]


def test_a_list_of_anything_but_ids_is_told() -> None:
    assert list(list_faults(ended(0, out="s/p/dim=1\nwords\n", err="1 of 2 cases\n"), FILES)) == [
        "'words' is no case id"
    ]


@pytest.mark.parametrize(
    ("name", "shown", "expected"),
    [
        (b"matrix/a.yaml", "matrix/a.yaml", True),
        (b"matrix/a.yaml", "matrix/b.yaml", False),
        (b"one\ntwo.yaml", "one\\ntwo.yaml", True),
        (b"one\ntwo.yaml", "one\\u000atwo.yaml", True),
        (b"one\ntwo.yaml", "one\ntwo.yaml", False),
        (b"latin-\xe9.yaml", "latin-\\udce9.yaml", True),
        (b"latin-\xe9.yaml", "latin-.yaml", False),
        (b"\xff\xfe.yaml", "shapes.yaml", False),
        (b"::error::.yaml", "\\x3a:error::.yaml", True),
        (b"##[error].yaml", "#\\x23[error].yaml", True),
        (b"a/##[error].yaml", "a/#\\x23[error].yaml", True),
    ],
)
def test_a_file_may_be_shown_with_its_unprintable_characters_spelled_out(
    name: bytes, shown: str, expected: bool
) -> None:
    assert is_shown_as(name, shown) is expected


@pytest.mark.parametrize("character", ["\x1b", "\r", "\x07", "\x85", "\x9b", "\u2028", "\u202e", "\u2066", "\ud800"])
def test_what_leads_a_terminal_or_an_eye_is_obeyed(character: str) -> None:
    assert is_obeyed(character)


@pytest.mark.parametrize("character", ["a", " ", "\n", "é", "🙂", "→"])
def test_what_is_only_seen_is_not_obeyed(character: str) -> None:
    assert not is_obeyed(character)
