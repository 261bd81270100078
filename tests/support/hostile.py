"""Texts that must not do anything to whoever reads them, and what must hold of any output that has them."""

from __future__ import annotations

import re
from typing import Final

# By what each tries.
HOSTILE_TEXTS: Final = {
    "escape": "a\x1b[31mred\x1b]0;title\x07",
    "eight-bit escape": "a\x9b31mred",
    "bell and delete": "a\x07\x08\x7fb",
    "nul": "a\x00b",
    "carriage return": "kept\roverwritten",
    "line break and command": "a\n::error file=x::owned",
    "carriage return and command": "a\r\n::add-mask::b",
    "command at once": "::set-output name=x::y",
    "command behind blanks": "\u3000 \t::error::x",
    "old command": "a ##[group]b",
    "command of Azure": "##vso[task.setvariable variable=x]y",
    "right to left": "a\u202egnp.exe\u202c",
    "isolates": "a\u2066b\u2069\u200f",
    "no width": "pa\u200byp\u2060al\ufeff",
    "fillers and tags": "a\u3164\u115f\U000e0041\ufe0f",
    "line separators": "a\u2028::error::b\u2029c\x85::error::d",
    "lone surrogate": "a\ud800b",
    "noncharacter": "a\ufffeb",
    "formula": '=HYPERLINK("http://x","y")',
    "formula behind a blank": " =1+1",
    "formula in full width": "＝1+1",
    "formula behind a tab": "\t+1",
    "sums": "-1+1",
    "function": "@SUM(1)",
    "mention": "thanks @octocat and @org/team, or a@b.example",
    "reference": "see #1, GH-2 and owner/repository#3",
    "address": "https://evil.example/x and www.evil.example",
    "markup": "![x](https://evil.example/x.png) **b** <img src=x onerror=alert(1)> | `c` ~~~ ```",
    "heading": "# title",
    "closing": "</script></pre></details>]]>--><!--",
    "percent": "100%25%0A::error::x",
    "template": "{{ 7 * 7 }} {% raw %} [bold]x[/bold] :tada:",
    "long": "long " * 50_000,
}

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff\ufffe]")
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_COMMAND = re.compile(r"(?m:^\s*::)|##[A-Za-z]*\[")


def hidden_in(output: str) -> list[str]:
    """The controls and the other characters of an output that nobody sees."""
    return [ascii(found) for found in _CONTROL.findall(output)]


def commands_in(output: str) -> list[str]:
    """What a CI system would take for a command in a log that has this output."""
    return _COMMAND.findall(output)


def unstyled(output: str) -> str:
    """What a terminal was sent, without the colors that this program sends."""
    return _STYLE.sub("", output)
