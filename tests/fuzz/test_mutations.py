"""Each mutation does what it says, and the same program always makes the same mutant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from hypothesis import find, given, settings

from support.fuzzing.programs import KINDS, Contents, Mutation, Program, mutated, programs
from support.fuzzing.texts import changed_bytes, changed_text
from support.fuzzing.trees import changed_tree

TEXT = "a: {b: 1, c: [x, y]}\nd: {e: text, f: {g: 2}}\n"


def tree(name: str, at: str, other: int | str) -> object:
    """The tree after a change at a key, and with another key or a number."""
    number = PAIRS_IN_ORDER.index(other) if isinstance(other, str) else other
    return yaml.safe_load(changed_tree(TEXT, name, PAIRS_IN_ORDER.index(at), number))


# A mapping's keys come before what is below them.
PAIRS_IN_ORDER = ["a", "d", "b", "c", "e", "f", "g"]


@pytest.mark.parametrize(
    ("name", "at", "other", "expected"),
    [
        ("drop_key", "b", 0, {"a": {"c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}}),
        ("misspell_key", "f", 4, {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": "text", "fs": {"g": 2}}}),
        ("swap_keys", "b", "g", {"a": {"g": 2, "c": ["x", "y"]}, "d": {"e": "text", "f": {"b": 1}}}),
        ("swap_keys", "d", "g", {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}}),
        ("swap_values", "b", "e", {"a": {"b": "text", "c": ["x", "y"]}, "d": {"e": 1, "f": {"g": 2}}}),
        ("replace_number", "b", 1, {"a": {"b": -1, "c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}}),
        ("add_key", "a", "g", {"a": {"b": 1, "c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}, "g": 2}),
        ("wrap_value", "b", 1, {"a": {"b": [[1]], "c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}}),
        ("share_value", "b", "f", {"a": {"b": {"g": 2}, "c": ["x", "y"]}, "d": {"e": "text", "f": {"g": 2}}}),
        ("mapping_to_list", "a", 1, [{"b": 1, "c": ["x", "y"]}, {"e": "text", "f": {"g": 2}}]),
        ("list_to_mapping", "a", 0, {"a": {"b": 1, "c": {"k0": "x", "k1": "y"}}, "d": {"e": "text", "f": {"g": 2}}}),
        ("list_to_mapping", "a", 1, {"a": {"b": 1, "c": {"x": "x", "y": "y"}}, "d": {"e": "text", "f": {"g": 2}}}),
        ("repeat_item", "a", 1, {"a": {"b": 1, "c": ["x", "y", "x", "x"]}, "d": {"e": "text", "f": {"g": 2}}}),
    ],
)
def test_a_change_of_the_tree(name: str, at: str, other: int | str, expected: object) -> None:
    assert tree(name, at, other) == expected


def test_a_doubled_key_stands_in_the_text_twice() -> None:
    assert changed_tree(TEXT, "double_key", 0, 0).count("a:") == 2


@pytest.mark.parametrize("text", ["", "a: [", "just text", "\ud800", "a: &a [*a]"])
def test_what_is_no_tree_stays(text: str) -> None:
    assert changed_tree(text, "drop_key", 0, 0) == text


@pytest.mark.parametrize(
    ("name", "at", "other", "expected"),
    [
        ("delete_line", 0, 0, "d: {e: text, f: {g: 2}}\n"),
        ("repeat_line", 0, 1, TEXT.splitlines(keepends=True)[0] + TEXT),
        ("cut_line", 0, 4, "a: {\nd: {e: text, f: {g: 2}}"),
        ("cut_text", 3, 0, "a: "),
        ("indent_line", 1, 4, "a: {b: 1, c: [x, y]}\n\td: {e: text, f: {g: 2}}\n"),
        ("swap_lines", 0, 1, "d: {e: text, f: {g: 2}}\na: {b: 1, c: [x, y]}\n"),
        ("put_value", 0, 0, "a: {b: 0, c: [x, y]}\nd: {e: text, f: {g: 2}}\n"),
        ("insert_mark", 1, 0, "a: {b: 1, &a c: [x, y]}\nd: {e: text, f: {g: 2}}\n"),
        ("insert_mark", 3, 29, "a: {b: 1, c: [x, y]}\n---\n\nd: {e: text, f: {g: 2}}\n"),
        ("double_text", 0, 1, f"{TEXT}---\n{TEXT}"),
        ("empty_text", 0, 2, "# nothing\n"),
        ("carry_returns", 0, 1, "a: {b: 1, c: [x, y]}\rd: {e: text, f: {g: 2}}\r"),
    ],
)
def test_a_change_of_the_text(name: str, at: int, other: int, expected: str) -> None:
    assert changed_text(TEXT, name, at, other) == expected


@pytest.mark.parametrize(
    ("name", "at", "other", "expected"),
    [
        ("flip_bit", 1, 0, b"accdef"),
        ("set_byte", 1, 255, b"a\xffcdef"),
        ("insert_bytes", 1, 0, b"a\x00bcdef"),
        ("delete_bytes", 1, 1, b"adef"),
        ("repeat_bytes", 1, 1, b"abcbcdef"),
        ("cut_bytes", 2, 0, b"ab"),
        ("zero_bytes", 2, 1, b"ab\x00\x00ef"),
    ],
)
def test_a_change_of_the_bytes(name: str, at: int, other: int, expected: bytes) -> None:
    assert changed_bytes(b"abcdef", name, at, other) == expected


FILES: Contents = {b"a.yaml": b"a\n", b"b/b.yaml": b"b\n"}


@pytest.mark.parametrize(
    ("kind", "file", "other", "expected"),
    [
        ("rename_file", 1, 1, {b"a.yaml": b"a\n", b"b/\x1b[31mred.yaml": b"b\n"}),
        ("move_file", 1, 2, {b"a.yaml": b"a\n", b"one\ntwo.yaml/b/b.yaml": b"b\n"}),
        ("join_files", 0, 1, {b"a.yaml": b"a\n---\nb\n", b"b/b.yaml": b"b\n"}),
        ("copy_file", 0, 0, {**FILES, b"copy/plain.yaml": b"a\n"}),
    ],
)
def test_a_change_of_the_files(kind: str, file: int, other: int, expected: Contents) -> None:
    assert mutated(FILES, Mutation(kind=kind, file=file, at=0, other=other)) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_changes_a_shipped_file(kind: str) -> None:
    plain = Program(matrix=0, mutations=()).files()
    mutants = [
        Program(matrix=0, mutations=(Mutation(kind=kind, file=file, at=at, other=at + file),)).files()
        for file in range(8)
        for at in range(1, 4)
    ]

    assert any(mutant != plain for mutant in mutants)


@settings(max_examples=50)
@given(programs())
def test_a_program_makes_the_same_mutant_every_time(program: Program) -> None:
    assert program.files() == program.files()


def test_a_mutant_is_written_under_its_hostile_names(tmp_path: Path) -> None:
    mutation = Mutation(kind="rename_file", file=0, at=0, other=16)
    Program(matrix=0, mutations=(mutation,), folder=b"one\ntwo").write(tmp_path)

    assert b"latin-\xe9.yaml" in [os.fsencode(path.name) for path in (tmp_path / "one\ntwo").iterdir()]


def test_shrinking_leaves_out_the_mutations_that_do_not_matter() -> None:
    smallest = find(programs(), lambda program: any(item.kind == "cut_text" for item in program.mutations))

    assert [item.kind for item in smallest.mutations] == ["cut_text"]
    assert smallest.matrix == 0
