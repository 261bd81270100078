"""Text from outside in GitHub's Markdown: escaped, on one line, and no more of it than is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from qatrix.report.figures import clipped, counted
from qatrix.text import printed, visible

T = TypeVar("T")
# GitHub drops a summary over 1 MiB; six sections of this many bytes stay well under it.
SECTION_BYTES: Final = 120_000
_NAME, _TEXT = 500, 600
# What begins a list, a heading or a quote means nothing elsewhere, and stays readable there; so does an underscore
# inside of a word.
_MARKUP = re.compile(r"([\\`*{}\[\]|~$]|(?<!\w)_|_(?!\w)|^[-+#=:!]|(?<=^\d)[.)]|(?<=^\d\d)[.)])")
# What GitHub makes a link of, or a notification: @name, #1, GH-1, owner/repository#1, addresses of pages.
_REFERENCE = re.compile(r"@(?=\w)|#(?=\d)|\bGH-(?=\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
# A space of no width, as Renovate and Dependabot write it. An entity for the sign itself would not do, because GitHub
# looks for names when it is a sign again.
_BREAK: Final = "&#8203;"


def text(plain: str, *, limit: int = _TEXT) -> str:
    """Text that Markdown and HTML leave alone, on one line; it mentions nobody, and leads nowhere."""
    return _unlinked(_entities(_MARKUP.sub(r"\\\1", _one_line(plain, limit))))


def html(plain: str) -> str:
    """Text for the inside of an HTML element, on one line; it mentions nobody, and leads nowhere.

    Nor does it where a reader of Markdown looks into the element.
    """
    return _unlinked(_entities(_one_line(plain, _TEXT)).replace("](", "]&#40;"))


def code(plain: str, *, limit: int = _NAME) -> str:
    """A code span; its fence is longer than any run of backticks inside."""
    line = _one_line(plain, limit)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def fenced(plain: str, language: str) -> str:
    """A code block that nothing in the text can end, and that says nothing to who reads a log of it."""
    shown = printed(plain.rstrip())
    longest = max((len(run) for run in re.findall("`+", shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{shown}\n{fence}"


def url(link: str) -> str:
    """The link where it is one for the web, with what would end it percent-encoded."""
    if not is_web(link):
        return "#"
    return re.sub(r"[\s()<>\\\"]", lambda match: f"%{ord(match[0]):02X}", visible(link))


def is_web(link: str) -> bool:
    """Whether a link leads to the web, and not to a script or a file."""
    return link.startswith(("https://", "http://"))


def within(
    items: Sequence[T], line: Callable[[T], str], limit: int = SECTION_BYTES, *, whole: str = "index.html"
) -> Iterator[str]:
    """A line per item until `limit` bytes are used, then how many there are more in the file `whole`."""
    used = 0
    for place, item in enumerate(items):
        told = line(item)
        used += len(told.encode("utf-8", "replace"))
        if used > limit and place:
            yield from more(len(items) - place, whole=whole)
            return
        yield told


def more(count: int, noun: str = "entry", *, whole: str = "index.html") -> Iterable[str]:
    """That so many are left out, where any are."""
    plural = "entries" if noun == "entry" else None
    return [f"- … and {counted(count, noun, plural)} more in {whole}"] if count > 0 else []


def _entities(plain: str) -> str:
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unlinked(escaped: str) -> str:
    return _REFERENCE.sub(rf"\g<0>{_BREAK}", escaped)


def _one_line(plain: str, limit: int) -> str:
    return printed(" ".join(clipped(plain, limit).split()))
