"""Tests of text."""

from __future__ import annotations

import ast
import json

import pytest

from qatrix.text import clipped, one_line, printed, printed_json, printed_source, visible
from support.hostile import HOSTILE_TEXTS, commands_in, hidden_in


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_nothing_is_hidden_in_visible_text(text: str) -> None:
    assert hidden_in(visible(text)) == []
    assert visible(visible(text)) == visible(text)


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_one_line_is_one_line(text: str) -> None:
    assert hidden_in(one_line(text)) == []
    assert len(one_line(text).splitlines()) == 1


@pytest.mark.parametrize("text", HOSTILE_TEXTS.values(), ids=HOSTILE_TEXTS)
def test_printed_text_commands_no_log(text: str) -> None:
    assert hidden_in(printed(text)) == []
    assert commands_in(printed(text)) == []


def test_what_would_reorder_or_hide_text_is_spelled_out() -> None:
    assert visible("a\u202eb\x00\ud800\n\t🙂\x1b") == "a\\u202eb\\x00\\ud800\n\t🙂\\x1b"
    assert one_line("a\r\n\tb") == r"a\r\n\tb"


def test_what_a_log_would_obey_is_spelled_out() -> None:
    assert printed("::error::a\n  ::b ##[c] ##vso[d") == "\\x3a:error::a\n  \\x3a:b #\\x23[c] #\\x23vso[d"


# In JSON and in Python backslashes stand in pairs, so that none of them takes the spelling for itself.
COMMANDS = ["##vso[a]b", "##[c", "###[d", "####vso[##[", "\\##[", "\\\\##vso["]


@pytest.mark.parametrize("text", COMMANDS)
def test_json_commands_no_log_and_keeps_its_value(text: str) -> None:
    made = printed_json(json.dumps({text: text}))

    assert commands_in(made) == []
    assert json.loads(made) == {text: text}


@pytest.mark.parametrize("text", COMMANDS)
def test_source_commands_no_log_and_keeps_its_meaning(text: str) -> None:
    made = printed_source(f"{{{text!r}: {text!r}}}  # {text}")

    assert commands_in(made) == []
    assert ast.literal_eval(made) == {text: text}


@pytest.mark.parametrize("text", ["plain", "ümlaut – 日本語 🙂 →", "a::b # c ## d [e] : f", "one\ntwo\tthree"])
def test_text_that_deceives_nobody_stays(text: str) -> None:
    assert printed(text) == text


def test_clipped_text_says_how_much_is_missing() -> None:
    assert clipped("x" * 12, 10) == "xxxxxxxxxx … (2 more characters)"
    assert clipped("x" * 12, 10, whole="f") == "xxxxxxxxxx … (2 more characters in f)"
