"""Mutations of the text and of its bytes: what an editor, a merge or a hostile hand does to a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from support.fuzzing.hostile import BYTES, LINES, MARKS, VALUES

# Each gives the changed text: the first number says where, the second what with.
Change: TypeAlias = Callable[[str, int, int], str]
_VALUE: Final = re.compile(r"(?<=[:\-\[,{] )[^\s\[\]{},][^,\[\]{}\n]*")


def delete_line(text: str, at: int, _: int) -> str:
    """One line goes."""
    lines = text.splitlines(keepends=True)
    del lines[at % len(lines)]
    return "".join(lines)


def repeat_line(text: str, at: int, other: int) -> str:
    """One line stands there again, below itself or elsewhere."""
    lines = text.splitlines(keepends=True)
    lines.insert((at + 1 if other % 2 else other) % len(lines), lines[at % len(lines)])
    return "".join(lines)


def cut_line(text: str, at: int, other: int) -> str:
    """One line ends early."""
    lines = text.splitlines()
    line = lines[at % len(lines)]
    lines[at % len(lines)] = line[: other % (len(line) + 1)]
    return "\n".join(lines)


def cut_text(text: str, at: int, _: int) -> str:
    """The file ends early."""
    return text[: at % len(text)]


def indent_line(text: str, at: int, other: int) -> str:
    """One line is indented otherwise, or with a tab."""
    lines = text.splitlines(keepends=True)
    line = lines[at % len(lines)]
    ways = (" " + line, "  " + line, line[1:], line[2:], "\t" + line, line.lstrip(), " " * 500 + line, "\u00a0" + line)
    lines[at % len(lines)] = ways[other % len(ways)]
    return "".join(lines)


def swap_lines(text: str, at: int, other: int) -> str:
    """Two lines change places."""
    lines = text.splitlines(keepends=True)
    here, there = at % len(lines), other % len(lines)
    lines[here], lines[there] = lines[there], lines[here]
    return "".join(lines)


def put_value(text: str, at: int, other: int) -> str:
    """What stands in the place of a value becomes what a stranger could write."""
    return _put(text, at, VALUES[other % len(VALUES)])


def put_line(text: str, at: int, other: int) -> str:
    """What stands in the place of a value becomes a line of the small language."""
    return _put(text, at, LINES[other % len(LINES)])


def _put(text: str, at: int, new: str) -> str:
    found = list(_VALUE.finditer(text))
    if not found:
        return text
    place = found[at % len(found)]
    return text[: place.start()] + new + text[place.end() :]


def insert_mark(text: str, at: int, other: int) -> str:
    """An anchor, alias, tag, merge key or bracket comes before a value, or a line of it between two lines."""
    mark = MARKS[other % len(MARKS)]
    if at % 3 == 0:
        lines = text.splitlines(keepends=True)
        line = lines[at % len(lines)]
        indent = line[: len(line) - len(line.lstrip(" "))]
        lines.insert(at % len(lines), f"{indent}{mark}\n")
        return "".join(lines)
    found = list(_VALUE.finditer(text))
    place = found[at % len(found)].start() if found else 0
    return text[:place] + mark + text[place:]


def double_text(text: str, _: int, other: int) -> str:
    """The file stands there twice, as one document or as two."""
    return text + ("", "---\n", "...\n", "...\n---\n")[other % 4] + text


def empty_text(_: str, __: int, other: int) -> str:
    """The file holds nothing, or nothing that counts."""
    return ("", "\n", "# nothing\n", "---\n", "null\n", "[]\n", "{}\n", "a\n", "\ufeff")[other % 9]


def carry_returns(text: str, _: int, other: int) -> str:
    """Lines end as elsewhere."""
    return text.replace("\n", ("\r\n", "\r", "\x85", "\u2028", "\n\n")[other % 5])


TEXT_CHANGES: Final[Mapping[str, Change]] = {
    change.__name__: change
    for change in (
        delete_line,
        repeat_line,
        cut_line,
        cut_text,
        indent_line,
        swap_lines,
        put_value,
        put_line,
        insert_mark,
        double_text,
        empty_text,
        carry_returns,
    )
}


def changed_text(text: str, name: str, at: int, other: int) -> str:
    """The text with one change; an empty text stays."""
    return TEXT_CHANGES[name](text, at, other) if text else text


# These take and give bytes.
ByteChange: TypeAlias = Callable[[bytes, int, int], bytes]


def flip_bit(content: bytes, at: int, other: int) -> bytes:
    """One bit is another."""
    place = at % len(content)
    return content[:place] + bytes([content[place] ^ (1 << other % 8)]) + content[place + 1 :]


def set_byte(content: bytes, at: int, other: int) -> bytes:
    """One byte is another."""
    place = at % len(content)
    return content[:place] + bytes([other % 256]) + content[place + 1 :]


def insert_bytes(content: bytes, at: int, other: int) -> bytes:
    """Some bytes come in between."""
    place = at % (len(content) + 1)
    return content[:place] + BYTES[other % len(BYTES)] + content[place:]


def delete_bytes(content: bytes, at: int, other: int) -> bytes:
    """Some bytes go."""
    place = at % len(content)
    return content[:place] + content[place + 1 + other % 64 :]


def repeat_bytes(content: bytes, at: int, other: int) -> bytes:
    """Some bytes stand there twice."""
    place = at % len(content)
    return content[: place + 1 + other % 64] + content[place:]


def cut_bytes(content: bytes, at: int, _: int) -> bytes:
    """The file ends early."""
    return content[: at % len(content)]


def zero_bytes(content: bytes, at: int, other: int) -> bytes:
    """A stretch is zero, as after a disk lost it."""
    place, length = at % len(content), 1 + other % 512
    return content[:place] + bytes(len(content[place : place + length])) + content[place + length :]


BYTE_CHANGES: Final[Mapping[str, ByteChange]] = {
    change.__name__: change
    for change in (flip_bit, set_byte, insert_bytes, delete_bytes, repeat_bytes, cut_bytes, zero_bytes)
}


def changed_bytes(content: bytes, name: str, at: int, other: int) -> bytes:
    """The bytes with one change; nothing stays nothing."""
    return BYTE_CHANGES[name](content, at, other) if content else content
