"""What the pages of the documentation show: the lines that a reader types, and the snippets in other languages."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (
    *sorted((ROOT / "docs").glob("**/*.md")),
    *sorted((ROOT / "examples").glob("**/*.md")),
    *sorted((ROOT / "action").glob("**/*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
)
# What a reader types into a shell; every other block is a snippet.
SHELLS: Final = frozenset({"console", "sh", "bash", "shell", "shell-session", "zsh"})
_BLOCK: Final = re.compile(r"^( *)```([\w-]*)[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """A line that a reader types, as it stands on its page but for its comment; lines of one `block` follow each other."""

    page: str
    block: str
    text: str


@dataclass(frozen=True)
class Snippet:
    """A block in another language; `name` has its page, its language, and which of the page's blocks of it it is."""

    page: str
    language: str
    name: str
    text: str


def name_of(path: Path) -> str:
    """The name of a page, as seen from the top."""
    return path.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """The blocks of a page, each with its language."""
    for indent, language, block in _BLOCK.findall(text):
        yield language, re.sub(rf"^{indent}", "", block, flags=re.MULTILINE)


def lines(path: Path) -> Iterator[Line]:
    """The lines that a reader types, in their order."""
    page = name_of(path)
    shells = (block for language, block in blocks(path.read_text(encoding="utf-8")) if language in SHELLS)
    for number, block in enumerate(shells, start=1):
        yield from (Line(page, f"{page}: {number}", text) for text in typed_in(block))


def typed_in(block: str) -> list[str]:
    """The lines of a block that begin with a prompt; all of them where none does."""
    whole = block.replace("\\\n", " ").splitlines()
    prompted = [line.removeprefix("$ ") for line in whole if line.startswith("$ ")]
    return [re.sub(r"\s+#\s.*$", "", line) for line in prompted or whole if line.strip()]


def snippets(path: Path) -> Iterator[Snippet]:
    """The other blocks of a page."""
    seen: Counter[str] = Counter()
    page = name_of(path)
    for language, block in blocks(path.read_text(encoding="utf-8")):
        if language not in SHELLS:
            seen[language] += 1
            yield Snippet(page, language, f"{page}: {language or 'plain'} {seen[language]}", block)


def steps(text: str) -> list[list[str]]:
    """The commands of a line that `&&` joins, each as its words."""
    return [shlex.split(part) for part in text.split(" && ")]


LINES: Final = tuple(line for path in PAGES for line in lines(path))
SNIPPETS: Final = tuple(snippet for path in PAGES for snippet in snippets(path))
