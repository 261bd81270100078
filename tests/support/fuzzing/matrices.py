"""Small matrices, cut out of the shipped one: each checks green, and every shipped declaration is in one.

The shipped files are cut where a person would cut them, at the lines of the declarations'
names, so that comments, quotes, anchors and layout are mutated, too.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from qatrix.resources import folder

# Files by their paths below the matrix.
Files = Mapping[str, str]

# Few and short, and nearly everything needs one of them.
_EVERYWHERE: Final = frozenset({"tolerances", "devices", "conv_kinds"})
_EXPECTATIONS: Final = "expected"
_TOGETHER: Final = 4
_FIRST_LINE: Final = re.compile(r"  (?:- |(\w+):)")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One declaration as it stands in its file, with the comments above it; `name` is empty where it has none."""

    file: str
    section: str
    name: str
    text: str

    @property
    def words(self) -> frozenset[str]:
        """What it could be naming: all words that are not told to people only."""
        return frozenset(re.findall(r"\w+", re.sub(r"(?m)^ +about: .*$", "", self.text)))


@cache
def declarations() -> tuple[Declaration, ...]:
    """Every declaration of the shipped matrix, in the order of files and lines."""
    top = folder("matrix")
    return tuple(found for path in sorted(top.rglob("*.yaml")) for found in _cut(path, top))


def _cut(path: Path, top: Path) -> Iterable[Declaration]:
    section, name = "", ""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        begins = _FIRST_LINE.match(line)
        if begins or not line.startswith((" ", "#", "\n")):
            comments = list(itertools.takewhile(lambda text: text.startswith("  #") or not text.strip(), lines[::-1]))
            kept, above = lines[: len(lines) - len(comments)], comments[::-1]
            if section and kept:
                yield Declaration(file=path.relative_to(top).as_posix(), section=section, name=name, text="".join(kept))
            lines = above
            name = (begins[1] or "") if begins else ""
            if not begins:
                section, lines = line.partition(":")[0], []
                continue
        lines.append(line)
    yield Declaration(file=path.relative_to(top).as_posix(), section=section, name=name, text="".join(lines))


@cache
def small_matrices() -> tuple[Files, ...]:
    """The matrices, in a fixed order: one for each suite, and more for what no suite needs."""
    found = [_closed([suite]) for suite in declarations() if suite.section == "suites"]
    covered = set(itertools.chain.from_iterable(found))
    # A matrix without a case is a fault.
    smallest = min(found, key=len)
    left = [item for item in declarations() if item not in covered and item.section != _EXPECTATIONS]
    found += [_closed([*smallest, *group]) for group in _groups(left)]
    found += [_closed([*smallest, *group]) for group in _groups(_expectations())]
    return tuple(_joined(item) for item in found)


def _expectations() -> Sequence[Declaration]:
    return [item for item in declarations() if item.section == _EXPECTATIONS]


def _groups(items: Sequence[Declaration]) -> list[list[Declaration]]:
    """A few neighbors of one file at a time."""
    by_file: dict[str, list[Declaration]] = defaultdict(list)
    for item in items:
        by_file[item.file].append(item)
    return [group[at : at + _TOGETHER] for group in by_file.values() for at in range(0, len(group), _TOGETHER)]


def _closed(roots: Sequence[Declaration]) -> frozenset[Declaration]:
    """Some declarations and all that they could be naming."""
    taken = {item for item in declarations() if item.section in _EVERYWHERE}
    waiting = list(roots)
    while waiting:
        item = waiting.pop()
        if item not in taken:
            taken.add(item)
            waiting += _named_by(item)
    return frozenset(taken)


def _named_by(item: Declaration) -> Iterable[Declaration]:
    words = item.words
    anchors = re.findall(r"\*(\w+)", item.text)
    for other in declarations():
        if other.section == "suites":
            # An expectation's glob names the suite; a suite names none.
            wanted = item.section == _EXPECTATIONS and other.name in words
        else:
            wanted = other.name in words
        shared = other.file == item.file and any(f"&{anchor}" in other.text for anchor in anchors)
        if wanted or shared:
            yield other


def _joined(items: frozenset[Declaration]) -> Files:
    """The declarations as files: those of the shipped matrix, with only these in them."""
    texts: dict[str, list[str]] = defaultdict(list)
    sections: dict[str, str] = {}
    for item in declarations():
        if item in items:
            if sections.get(item.file) != item.section:
                texts[item.file].append(f"{item.section}:\n")
                sections[item.file] = item.section
            texts[item.file].append(item.text)
    return {file: "".join(parts) for file, parts in texts.items()}
