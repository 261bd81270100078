"""Globs over case ids and other names, such as those of modules: `*` crosses every character, `{a,b}` is either."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from qatrix.errors import UsageError

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_WILD: Final = re.compile(r"[*?\[]")
_SPECIAL: Final = re.compile(r"[*?\[{]")
# Case ids are shorter.
MOST_CHARACTERS: Final = 2_000
# More come from nested or repeated braces by accident only, and compiling them takes seconds.
_MOST_ALTERNATIVES: Final = 1_000
_MOST_IN_ALL: Final = 100_000
# Characters of a wrong glob in a message.
_MOST_SHOWN: Final = 60


@dataclass(frozen=True)
class Glob:
    """A glob, compiled: `head` is what every id that fits begins with."""

    head: str
    pattern: re.Pattern[str]

    def fits(self, case_id: str) -> bool:
        """Whether a case id fits."""
        return self.pattern.match(case_id) is not None


@functools.lru_cache(maxsize=4096)
def compiled(glob: str) -> Glob:
    """The glob for a text.

    A text (or one alternative of its braces) without a wildcard and without "=" names a
    suite, or a pattern in a suite (`conv_bn_fusion/conv_bn`), and fits everything below it.
    Raises UsageError where the glob is too long, or its braces stand for too many globs.
    """
    one_of = [_whole(one) for one in alternatives(glob)]
    return Glob(_SPECIAL.split(glob)[0].rstrip("/"), re.compile("|".join(map(fnmatch.translate, one_of))))


@functools.lru_cache(maxsize=4096)
def compiled_name(glob: str) -> re.Pattern[str]:
    """What a whole name must match to fit a glob; raises UsageError as `compiled` does."""
    return re.compile("|".join(map(fnmatch.translate, alternatives(glob))))


def alternatives(glob: str) -> tuple[str, ...]:
    """The globs that a glob with braces stands for, innermost braces first; raises UsageError as `compiled` does."""
    if len(glob) > MOST_CHARACTERS:
        msg = f"the glob {_shortened(glob)} has {len(glob):,} characters: write at most {MOST_CHARACTERS:,}"
        raise UsageError(msg)
    done: list[str] = []
    left = [glob]
    characters = len(glob)
    while left:
        text = left.pop()
        found = _BRACES.search(text)
        if found is None:
            done.append(text)
            continue
        head, tail = text[: found.start()], text[found.end() :]
        choices = found.group(1).split(",")
        characters += len(choices) * (len(head) + len(tail)) + len(found.group(1)) - len(text)
        if len(done) + len(left) + len(choices) > _MOST_ALTERNATIVES or characters > _MOST_IN_ALL:
            most = f"{_MOST_ALTERNATIVES:,} globs, or for more than {_MOST_IN_ALL:,} characters"
            msg = f"the glob {_shortened(glob)} stands for more than {most}: write fewer braces"
            raise UsageError(msg)
        left += [f"{head}{choice}{tail}" for choice in reversed(choices)]
    return tuple(dict.fromkeys(done))


class GlobIndex:
    """Many globs at once; looks only at those whose beginning the id has."""

    def __init__(self, globs: Sequence[str]) -> None:
        self._exact: defaultdict[str, list[int]] = defaultdict(list)
        self._globs: dict[int, Glob] = {}
        for number, glob in enumerate(globs):
            if "=" in glob and not _SPECIAL.search(glob):
                self._exact[glob].append(number)
            else:
                self._globs[number] = compiled(glob)
        # "suite/pattern/" → the globs that may fit ids below it.
        self._near: dict[str, tuple[int, ...]] = {}

    def fitting(self, case_id: str) -> list[int]:
        """The numbers of the globs that a case id fits, ascending."""
        found = [number for number in self._nearby(case_id) if self._globs[number].fits(case_id)]
        return sorted([*found, *self._exact[case_id]]) if case_id in self._exact else found

    def any_of(self, numbers: Container[int], case_id: str) -> bool:
        """Whether a case id fits any of the globs with these numbers."""
        if any(number in numbers for number in self._exact.get(case_id, ())):
            return True
        return any(number in numbers and self._globs[number].fits(case_id) for number in self._nearby(case_id))

    def any(self, case_id: str) -> bool:
        """Whether a case id fits any of the globs."""
        return case_id in self._exact or any(self._globs[number].fits(case_id) for number in self._nearby(case_id))

    def _nearby(self, case_id: str) -> tuple[int, ...]:
        folder = case_id[: case_id.rfind("/") + 1]
        near = self._near.get(folder)
        if near is None:
            heads = ((number, glob.head) for number, glob in self._globs.items())
            near = tuple(number for number, head in heads if head.startswith(folder) or folder.startswith(head))
            self._near[folder] = near
        return near


def _whole(glob: str) -> str:
    return glob if "=" in glob or _WILD.search(glob) else f"{glob.rstrip('/')}/*"


def _shortened(glob: str) -> str:
    return glob if len(glob) <= _MOST_SHOWN else f"{glob[: _MOST_SHOWN - 1]}…"
