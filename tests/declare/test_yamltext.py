from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from qatrix.declare.yamltext import Document, ListNode, MappingNode, Node, ScalarNode, data, parse, read
from qatrix.errors import Problem


def tree(text: str) -> Node:
    document = parse(text.encode(), shown="f.yaml")
    assert document.problems == ()
    assert document.root is not None
    return document.root


def only_problem(content: bytes) -> Problem:
    (problem,) = parse(content, shown="f.yaml").problems
    return problem


def scalar(text: str) -> ScalarNode:
    root = tree(f"key: {text}")
    assert isinstance(root, MappingNode)
    found = root.values["key"]
    assert isinstance(found, ScalarNode)
    return found


def test_a_tree_keeps_the_order_and_the_values() -> None:
    assert data(tree("b: [1, 2.5, x, null, true]\na: {c: '1'}")) == {"b": [1, 2.5, "x", None, True], "a": {"c": "1"}}


def test_places_count_from_one() -> None:
    root = tree("a:\n  - x\n  - {b: y}\n")
    assert isinstance(root, MappingNode)
    items = root.values["a"]
    assert isinstance(items, ListNode)
    assert str(root.keys["a"].source) == "f.yaml:1:1"
    assert [str(item.source) for item in items.items] == ["f.yaml:2:5", "f.yaml:3:5"]


@pytest.mark.parametrize(
    ("written", "content"),
    [
        pytest.param("conv(x)", 6, id="plain"),
        pytest.param("'conv(x)'", 7, id="single quotes"),
        pytest.param('"conv(x)"', 7, id="double quotes"),
        pytest.param('"a\\tb"', None, id="an escape"),
        pytest.param("'it''s'", None, id="a doubled quote"),
        pytest.param("|\n  conv(x)", None, id="a block"),
        pytest.param("conv(x,\n  y)", None, id="two lines"),
        pytest.param("é + y", 6, id="letters beyond ASCII"),
    ],
)
def test_the_column_of_the_text_is_known_where_it_stands_as_it_is(written: str, content: int | None) -> None:
    assert scalar(written).content == content


def test_plain_text_is_kept_beside_what_yaml_makes_of_it() -> None:
    node = scalar("off")
    assert (node.value, node.text, node.plain) == (False, "off", True)


def test_quoted_text_is_text() -> None:
    assert scalar("'off'").value == "off"


def test_anchors_aliases_and_merge_keys_are_followed() -> None:
    text = "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nlist: {<<: [{z: 1}, *b]}\nsame: *b\n"
    assert data(tree(text)) == {
        "base": {"x": 1, "y": 2},
        "more": {"x": 1, "y": 3},
        "list": {"z": 1, "x": 1, "y": 2},
        "same": {"x": 1, "y": 2},
    }


def test_a_quoted_merge_key_is_a_key() -> None:
    assert data(tree("'<<': 1")) == {"<<": 1}


def test_dates_stay_text() -> None:
    assert scalar("2024-01-01").value == "2024-01-01"


@pytest.mark.parametrize(
    ("written", "spelling"),
    [("1e-3", "1.0e-3"), ("1.0e5", "1.0e+5"), (".5e3", "0.5e+3"), ("-2.e3", "-2.0e+3")],
    ids=["no point", "no sign", "no digit before the point", "no digit after it"],
)
def test_an_exponent_that_yaml_reads_as_text_gets_the_spelling_that_works(written: str, spelling: str) -> None:
    problem = only_problem(f"a: {written}".encode())
    assert problem.hint == f"write {spelling}"
    assert scalar(spelling).value == pytest.approx(float(written))


@pytest.mark.parametrize("written", ["'1e-3'", "1.0e-3", "0", "0x10", "-7", "0.5", "10:x"])
def test_what_is_no_trap_is_left_alone(written: str) -> None:
    scalar(written)


def test_a_duplicate_key_names_both_lines() -> None:
    problem = only_problem(b"a: 1\nb: 2\na: 3\n")
    assert problem.message == "the key 'a' stands here twice: in line 1 and in line 3"
    assert problem.source is not None
    assert problem.source.line == 3


@pytest.mark.parametrize("key", ["on", "1", "~", "1.5", "no"])
def test_a_key_that_yaml_reads_as_no_text_is_a_problem(key: str) -> None:
    assert f"the key {key} is read by YAML as" in only_problem(f"{key}: x".encode()).message


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system [ls]", "!foo 1", "!!str 1", "! x", "!!python/name:os.system"],
)
def test_tags_are_refused(text: str) -> None:
    assert "is refused" in only_problem(f"a: {text}".encode()).message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"a: \xff", "byte 0xff is not UTF-8", id="not UTF-8"),
        pytest.param(b"a\0b", "the file is binary: it holds zero bytes", id="binary"),
        pytest.param(b"\xff\xfea\0", "the file is binary: it holds zero bytes", id="UTF-16"),
        pytest.param(b"a: *b", "the alias *b has no anchor", id="alias without anchor"),
        pytest.param(b"a: &a [*a]", "the alias *a stands inside its own anchor", id="alias of itself"),
        pytest.param(b"? [a]\n: 1", "a key is a list or a mapping", id="list as key"),
        pytest.param(b"<<: 1", "'<<' merges what is not a mapping", id="merge of a number"),
        pytest.param(b"a: 1\n---\nb: 1", "a second document begins here", id="two documents"),
    ],
)
def test_what_is_no_plain_tree_is_refused(content: bytes, message: str) -> None:
    assert only_problem(content).message == message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028"])
def test_the_place_of_a_wrong_byte_is_its_line_and_column(end: str) -> None:
    assert str(only_problem(f"a: é{end}b: é".encode() + b"\xff").source) == "f.yaml:2:5"


@pytest.mark.parametrize(
    ("text", "place", "character"),
    [
        pytest.param("a: 1\nb: x\x1b[31my\n", "f.yaml:2:5", "U+001B", id="an escape"),
        pytest.param("a: é\r\nb: 'x\x07'\n", "f.yaml:2:6", "U+0007", id="a bell in quotes"),
        pytest.param("# é\u20ac\x7f\n", "f.yaml:1:5", "U+007F", id="in a comment"),
        pytest.param("\x01", "f.yaml:1:1", "U+0001", id="alone"),
        pytest.param("a: 1\n" * 5_000 + "b: \ufffe", "f.yaml:5001:4", "U+FFFE", id="far behind"),
        pytest.param("a: [1\nb: \x0c\n", "f.yaml:2:4", "U+000C", id="beside another fault"),
    ],
)
def test_a_character_that_yaml_forbids_is_told_at_its_place(text: str, place: str, character: str) -> None:
    problem = only_problem(text.encode())
    assert str(problem.source) == place
    assert problem.message == f"the character {character} stands here, which YAML forbids"


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"a: [1, 2]\n" * 150_000 + b"b: c: d\n", id="a fault at the end of a large file"),
        pytest.param(b"a: " + b"1:59" * 400_000, id="base 60"),
        pytest.param(b"a: 1" + b":59" * 500_000, id="base 60 without end"),
        pytest.param(b"a: 1" + b":59" * 500_000 + b".5", id="a float of base 60"),
        pytest.param(b"a: 0x" + b"f" * 1_900_000, id="hexadecimal"),
        pytest.param(b"a: " + b"9" * 1_900_000, id="decimal"),
        pytest.param(b"a: 1." + b"9" * 1_900_000 + b"e+99", id="float"),
        pytest.param(b"a: " + b"_" * 1_900_000, id="underscores"),
        pytest.param(b"a: '" + b"''" * 900_000 + b"'", id="quotes"),
        pytest.param(b"? " * 900_000, id="complex keys"),
        pytest.param(b"a: &a [" + b"*a, " * 400_000, id="aliases"),
        pytest.param(b"".join(b"k%d: 1\n" % number for number in range(150_000)), id="keys"),
    ],
)
def test_no_text_takes_long(content: bytes) -> None:
    started = time.process_time()
    parse(content[:2_000_000], shown="f.yaml")
    assert time.process_time() - started < 5


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert data(parse(b"\xef\xbb\xbfa: 1", shown="f").root or tree("")) == {"a": 1}


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"---\n"[:0]], ids=["empty", "comment", "nothing"])
def test_an_empty_file_is_a_warning(content: bytes) -> None:
    problem = only_problem(content)
    assert (problem.message, problem.severity) == ("the file is empty: it declares nothing", "warning")


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(
            "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)),
            id="wide",
        ),
        pytest.param("a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)), id="deep"),
        pytest.param(
            "a0: &a0 {x: 1}\n"
            + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}, k: *a{i - 1}, l: *a{i - 1}}}\n" for i in range(1, 40)),
            id="merged",
        ),
        pytest.param("[" * 100_000, id="brackets"),
        pytest.param("{a: " * 100_000, id="braces"),
        pytest.param("- " * 5_000 + "x", id="dashes"),
    ],
)
def test_bombs_are_refused_at_once(bomb: str) -> None:
    started = time.process_time()
    document = parse(bomb.encode(), shown="f.yaml")
    assert document.root is None
    assert len(document.problems) == 1
    assert time.process_time() - started < 5


def test_a_file_that_is_too_large_is_refused() -> None:
    assert only_problem(b"#" * 2_000_001).message == "the file has 2,000,001 bytes"


def test_of_a_large_file_no_more_is_read_than_is_allowed(tmp_path: Path) -> None:
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(10**12)
    (problem,) = read(tmp_path / "sparse.yaml", shown="sparse.yaml").problems
    assert (problem.message, problem.expected) == (
        "the file has 1,000,000,000,000 bytes",
        "at most 2,000,000 bytes of YAML",
    )


def test_what_would_never_end_is_not_opened(tmp_path: Path) -> None:
    pipe, link, gone = tmp_path / "pipe.yaml", tmp_path / "link.yaml", tmp_path / "gone.yaml"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    gone.symlink_to(tmp_path / "nowhere")
    kinds = {path: read(path, shown="x").problems[0].message for path in (pipe, link, gone, Path("/dev/zero"))}
    assert list(kinds.values()) == [
        "x is a named pipe",
        "x is a named pipe",
        "x is a broken link",
        "x is a device",
    ]


def test_a_syntax_error_says_where_and_what_helps() -> None:
    problem = only_problem(b"a: b: c")
    assert str(problem.source) == "f.yaml:1:5"
    assert "mapping values are not allowed here" in problem.message
    assert problem.hint is not None


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in read(tmp_path, shown="x").problems[0].message


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    document = read(tmp_path / "x.yaml", shown="x.yaml")
    assert document.problems[0].message == "x.yaml is not there"
    assert document.broken


def test_an_empty_document_is_not_broken() -> None:
    assert not Document(None, ()).broken


def test_reading_gives_what_parsing_gives(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"a: [1]\n")
    assert read(path, shown="f.yaml") == parse(b"a: [1]\n", shown="f.yaml")
