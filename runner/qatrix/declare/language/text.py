"""A text of the language with its place in the file, and its syntax tree."""

from __future__ import annotations

import ast
import bisect
import difflib
import operator
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from qatrix.errors import Problem, Source

MAX_LENGTH: Final = 1000
# Of one declaration: who reads more mends them one by one.
MOST_PROBLEMS: Final = 100
# Below this difflib finds likeness where a person sees none (load, logaddexp).
_ALIKE: Final = 0.65
# Likeness takes time with the square of the length, and nobody mistypes a longer name.
_LONGEST_NAME: Final = 100
# What looking for the nearest of very many names may take, in pairs of letters on either side: 500 names of 20.
_WORK: Final = 200_000
# Python's own parser gives up at 100 levels of brackets; nobody reads half of that.
MAX_DEPTH: Final = 60


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text of the language: what is written, and where.

    `starts` is the column of its first character, None where the text does not stand in
    the file character by character (several lines, escapes); `at` is the breadcrumb.
    """

    text: str
    source: Source
    starts: int | None = None
    at: str | None = None

    def place(self, node: ast.AST) -> Source:
        """The place of a part of the text where it is known, else the place of the text."""
        if getattr(node, "lineno", 1) != 1:
            return self.source
        return self.after(len(self.text.encode()[: getattr(node, "col_offset", 0)].decode(errors="ignore")))

    def after(self, characters: int) -> Source:
        """The place that many characters into the text."""
        if self.starts is None:
            return self.source
        return Source(file=self.source.file, line=self.source.line, column=self.starts + characters)

    def problem(self, source: Source, message: str, *, expected: str | None = None, hint: str | None = None) -> Problem:
        """A problem of this text."""
        return Problem(source=source, message=message, at=self.at, expected=expected, hint=hint)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The hint that names what is spelled most alike, None where nothing is."""
    if len(name) > _LONGEST_NAME:
        return None
    candidates = _neighbours(name, sorted(candidate for candidate in known if len(candidate) <= _LONGEST_NAME))
    found = _most_alike(name, candidates)
    if found is None:
        folded = {candidate.lower(): candidate for candidate in candidates}
        match = _most_alike(name.lower(), list(folded))
        found = None if match is None else folded[match]
    return None if found is None else f"did you mean '{found}'?"


def _most_alike(name: str, candidates: list[str]) -> str | None:
    """What difflib.get_close_matches(name, candidates, n=1, cutoff=_ALIKE) finds, None where that is nothing.

    Letters in common bound the likeness from above: of thousands of names, a few have to be aligned with the name.
    """
    matcher = difflib.SequenceMatcher()
    matcher.set_seq2(name)
    best = (_ALIKE, "")
    for upper in sorted(_bounds(name, candidates), reverse=True):
        if upper <= best:
            break
        matcher.set_seq1(upper[1])
        best = max(best, (matcher.ratio(), upper[1]))
    return best[1] or None


def _bounds(name: str, candidates: list[str]) -> list[tuple[float, str]]:
    """How alike to a name each candidate is at most, by difflib's formula, where that is alike enough."""
    columns = [_shared(letter, count, candidates) for letter, count in Counter(name).items()]
    bounds = [
        (2.0 * shared / (len(candidate) + len(name)), candidate)
        for candidate, shared in zip(candidates, map(sum, zip(*columns)))
    ]
    return [bound for bound in bounds if bound[0] >= _ALIKE]


def _shared(letter: str, count: int, candidates: list[str]) -> Iterable[int]:
    """How many of `count` letters each candidate has, too; loops of C, since they run over thousands of names."""
    if count == 1:
        return map(operator.contains, candidates, repeat(letter))
    return map(min, map(str.count, candidates, repeat(letter)), repeat(count))


def _neighbours(name: str, candidates: list[str]) -> list[str]:
    """Of very many sorted names those that stand next to where the name would: most typos keep the beginning."""
    far = _WORK // max(len(name), 1) ** 2
    if len(candidates) <= 2 * far:
        return candidates
    place = bisect.bisect(candidates, name)
    return candidates[max(place - far, 0) : place + far]


def listed(names: Iterable[str], *, most: int = 12) -> str:
    """Names as a sentence's part: sorted, "none" where there are none, shortened where there are many."""
    known = sorted(names)
    if len(known) > most:
        return f"{', '.join(known[:most])}, … ({len(known)} in all)"
    return ", ".join(known) or "none"


def syntax_tree(text: Text) -> tuple[ast.stmt | None, tuple[Problem, ...]]:
    """The one statement of a text as Python's tree, None where it is not one statement of Python's syntax."""
    if len(text.text) > MAX_LENGTH:
        message = f"the text has {len(text.text)} characters"
        return None, (text.problem(text.source, message, expected=f"at most {MAX_LENGTH}"),)
    if not text.text.strip():
        return None, (text.problem(text.source, "the text is empty", expected="one line of the language"),)
    if text.text[0].isspace():
        message = "the text begins with a space"
        return None, (text.problem(text.source, message, expected="no space before the first letter"),)
    return _parsed(text)


def _parsed(text: Text) -> tuple[ast.stmt | None, tuple[Problem, ...]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = ast.parse(text.text).body
    except SyntaxError as error:
        place = text.source if (error.lineno or 1) > 1 else text.after(max((error.offset or 1) - 1, 0))
        return None, (text.problem(place, f"this is not valid: {error.msg}", expected="Python's syntax"),)
    except (ValueError, MemoryError, RecursionError) as error:
        reason = "it nests too deep" if not isinstance(error, ValueError) else str(error)
        return None, (text.problem(text.source, f"this cannot be read: {reason}"),)
    if len(body) != 1:
        message = f"{len(body)} statements stand here" if body else "nothing but a comment stands here"
        return None, (text.problem(text.source, message, expected="one statement in a text"),)
    # Every level takes a character, so short texts need no look.
    if len(text.text) > MAX_DEPTH - 5 and _depth(body[0]) > MAX_DEPTH:
        return None, (text.problem(text.source, f"this nests more than {MAX_DEPTH} levels deep"),)
    return body[0], ()


def _depth(root: ast.AST) -> int:
    deepest, level = 0, [root]
    while level:
        deepest += 1
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return deepest
