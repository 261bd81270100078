"""Text from outside as it may be shown: nothing in it hides, moves a cursor, reorders a line or commands a log."""

from __future__ import annotations

import re
from typing import Final

# Controls, marks of direction, fillers and spaces without width, variation selectors, tags, line separators,
# lone surrogates, and the noncharacters that XML cannot hold. All but the first few are no control characters to
# most programs, which is why they deceive. https://www.unicode.org/reports/tr36/
_HIDDEN: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE: Final = re.compile(f"[{_HIDDEN}]")
_INVISIBLE_OR_BREAK: Final = re.compile(f"[\t\n{_HIDDEN}]")
# GitHub's runner skips the blanks before `::`, and looks for `##[` anywhere in a line; Azure's for `##vso[`.
# https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs
_SECTION: Final = r"##(?=[A-Za-z]*\[)"
_IN_STRINGS: Final = re.compile(_SECTION)
_COMMAND: Final = re.compile(rf"(?m:^[^\S\n]*:)(?=:)|{_SECTION}")
_COMMAND_SIGNS: Final = {":": r"\x3a", "#": r"\x23"}


def visible(text: str) -> str:
    r"""The text with what cannot be seen, or would reorder what follows, spelled out as `\x1b` or `\u202e`.

    Line breaks and tabs stay.
    """
    # Nearly every text is printable ASCII, which is known ten times sooner.
    return text if text.isascii() and text.isprintable() else _INVISIBLE.sub(_spelled, text)


def one_line(text: str) -> str:
    r"""The same on one line: line breaks and tabs are spelled out, too."""
    return text if text.isascii() and text.isprintable() else _INVISIBLE_OR_BREAK.sub(_spelled, text)


def printed(text: str) -> str:
    r"""Lines for a terminal or a log, which no CI system takes for its commands (`::error::`, `##[group]`)."""
    return _COMMAND.sub(_disarmed, visible(text))


def printed_json(text: str) -> str:
    r"""JSON of the same value, which no CI system takes for its commands: `##[` in a string is `\u0023#[`."""
    return _IN_STRINGS.sub(r"\\u0023#", text)


def printed_source(text: str) -> str:
    r"""Python of the same meaning, which no CI system takes for its commands: `##[` in a literal is `\x23#[`.

    In a comment the same spelling is there for people. Raw strings must not have such a text.
    """
    return _IN_STRINGS.sub(r"\\x23#", text)


def clipped(text: str, limit: int, *, whole: str = "") -> str:
    """The text, or its beginning and how many characters were left out; `whole` is where they are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … ({len(text) - limit} more characters{f' in {whole}' if whole else ''})"


def name_of(error: BaseException | None) -> str:
    """The full name of an exception's class, of a built-in one without its module; asking it runs foreign code."""
    kind = type(error)
    try:
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return _plain(name)
    except BaseException:  # noqa: BLE001 - what it raises says nothing about what is asked
        return "an exception whose name cannot be read"


def words_of(error: BaseException | None) -> str:
    """What an exception says; its class may be foreign code, which may raise when it is asked."""
    try:
        return _plain(str(error))
    except BaseException:  # noqa: BLE001 - what it raises says nothing about what is asked
        return "(it cannot be put into words: its __str__ raises)"


def told(error: BaseException) -> str:
    """An exception in a line or more: the name of its class, without the module, and its words."""
    return f"{name_of(error).rpartition('.')[2]}: {words_of(error)}"


def _plain(text: str) -> str:
    """The same text as a str and nothing more: one of a foreign subclass would take its code to where it is read."""
    return str.__str__(text)


def _spelled(match: re.Match[str]) -> str:
    return ascii(match[0])[1:-1]


def _disarmed(match: re.Match[str]) -> str:
    return match[0][:-1] + _COMMAND_SIGNS[match[0][-1]]


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """For instance "1 case", "2 cases"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def steps_apart(number: str) -> str:
    """A number of quantization steps in words: "1 quantization step", "0.5 quantization step"."""
    return f"{number} quantization {_step(number)}"


def steps(number: str) -> str:
    """The same where it is clear what steps these are: "1 step", "0.5 step", "3 steps"."""
    return f"{number} {_step(number)}"


def _step(number: str) -> str:
    """Up to one it is a part of a step."""
    return "step" if re.fullmatch(r"1|0\.\d*[1-9]\d*|[\d.]+e-\d+", number) else "steps"
