"""Globs over case ids and other names, such as those of modules: `*` crosses every character, `{a,b}` is either."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from qatrix.errors import UsageError

_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_WILD: Final = re.compile(r"[*?\[]")
# Wildcards of one character.
_SINGLE: Final = re.compile(r"[?\[]")
_SPECIAL: Final = re.compile(r"[*?\[{]")
_PATTERN: Final = re.compile(r"/[^/]*/")
# The key of globs that no suite and no pattern tells apart.
_ANYWHERE: Final = ""
# Case ids are shorter.
MOST_CHARACTERS: Final = 2_000
# More come from nested or repeated braces by accident only, and compiling them takes seconds.
_MOST_ALTERNATIVES: Final = 1_000
_MOST_IN_ALL: Final = 100_000
# Characters of a wrong glob in a message.
_MOST_SHOWN: Final = 60


class _Fitting(Protocol):
    """One glob without braces.

    Every id that fits begins with `head`; `near` says whether an id in a folder ("suite/pattern/") can fit.
    """

    @property
    def head(self) -> str: ...

    def near(self, folder: str) -> bool: ...

    def fits(self, case_id: str) -> bool: ...


@dataclass(frozen=True)
class _Stars:
    """A glob whose only wildcard is the star: what stands before, between and after the stars.

    Finding texts takes a tenth of the time of a regular expression, and there is nothing to compile.
    """

    head: str
    between: tuple[str, ...]
    tail: str
    # What an id has in its folder, which its last slash ends.
    in_folder: tuple[str, ...]

    @classmethod
    def of(cls, glob: str) -> _Stars:
        head, *between, tail = glob.split("*")
        slashed = (part[: part.rfind("/") + 1] for part in (*between, tail))
        return cls(head, tuple(filter(None, between)), tail, tuple(filter(None, slashed)))

    def near(self, folder: str) -> bool:
        return _leads_to(self.head, folder) and all(part in folder for part in self.in_folder)

    def fits(self, case_id: str) -> bool:
        start, end = len(self.head), len(case_id) - len(self.tail)
        if start > end or not (case_id.startswith(self.head) and case_id.endswith(self.tail)):
            return False
        for part in self.between:
            found = case_id.find(part, start, end)
            if found < 0:
                return False
            start = found + len(part)
        return True


@dataclass(frozen=True)
class _Text:
    """A glob without any wildcard: the id itself."""

    head: str

    def near(self, folder: str) -> bool:
        return _leads_to(self.head, folder)

    def fits(self, case_id: str) -> bool:
        return case_id == self.head


@dataclass(frozen=True)
class _Expression:
    """A glob with wildcards of single characters."""

    head: str
    pattern: re.Pattern[str]

    def near(self, folder: str) -> bool:
        return _leads_to(self.head, folder)

    def fits(self, case_id: str) -> bool:
        return self.pattern.match(case_id) is not None


@dataclass(frozen=True)
class Glob:
    """A glob, compiled: an id fits that fits one of its alternatives."""

    alternatives: tuple[_Fitting, ...]

    def fits(self, case_id: str) -> bool:
        """Whether a case id fits."""
        return any(one.fits(case_id) for one in self.alternatives)


@functools.lru_cache(maxsize=4096)
def compiled(glob: str) -> Glob:
    """The glob for a text.

    A text (or one alternative of its braces) without a wildcard and without "=" names a
    suite, or a pattern in a suite (`conv_bn_fusion/conv_bn`), and fits everything below it.
    Raises UsageError where the glob is too long, or its braces stand for too many globs.
    """
    return Glob(tuple(_alternative(_whole(one)) for one in alternatives(glob)))


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
        # "suite/" or "/pattern/" → alternatives that only ids of it can fit, each with its glob's number.
        self._keyed: defaultdict[str, list[tuple[int, _Fitting]]] = defaultdict(list)
        for number, glob in enumerate(globs):
            if "=" in glob and not _SPECIAL.search(glob):
                self._exact[glob].append(number)
                continue
            for one in compiled(glob).alternatives:
                self._keyed[_key(one)].append((number, one))
        # "suite/pattern/" → the globs that ids in it can fit, by their numbers, as far as they can.
        self._near: dict[str, tuple[tuple[int, Glob], ...]] = {}

    def fitting(self, case_id: str) -> list[int]:
        """The numbers of the globs that a case id fits, ascending."""
        found = [number for number, glob in self._nearby(case_id) if glob.fits(case_id)]
        return sorted([*found, *self._exact[case_id]]) if case_id in self._exact else found

    def any_of(self, numbers: Container[int], case_id: str) -> bool:
        """Whether a case id fits any of the globs with these numbers."""
        if any(number in numbers for number in self._exact.get(case_id, ())):
            return True
        return any(number in numbers and glob.fits(case_id) for number, glob in self._nearby(case_id))

    def any(self, case_id: str) -> bool:
        """Whether a case id fits any of the globs."""
        return case_id in self._exact or any(glob.fits(case_id) for _, glob in self._nearby(case_id))

    def _nearby(self, case_id: str) -> tuple[tuple[int, Glob], ...]:
        folder = case_id[: case_id.rfind("/") + 1]
        near = self._near.get(folder)
        if near is None:
            near = self._near[folder] = tuple(self._in_folder(folder))
        return near

    def _in_folder(self, folder: str) -> Iterator[tuple[int, Glob]]:
        suite, *patterns, _ = folder.split("/") if folder else ("", "")
        found: defaultdict[int, list[_Fitting]] = defaultdict(list)
        for key in {_ANYWHERE, f"{suite}/", *(f"/{pattern}/" for pattern in patterns)}:
            for number, one in self._keyed.get(key, ()):
                if one.near(folder):
                    found[number].append(one)
        for number in sorted(found):
            yield number, Glob(tuple(found[number]))


def _alternative(glob: str) -> _Fitting:
    if _SINGLE.search(glob):
        return _Expression(_WILD.split(glob)[0], re.compile(fnmatch.translate(glob)))
    return _Stars.of(glob) if "*" in glob else _Text(glob)


def _key(one: _Fitting) -> str:
    """What the folder of every id that fits begins with ("suite/") or has in it ("/pattern/"), as far as that is so."""
    suite, slash, _ = one.head.partition("/")
    if slash:
        return suite + slash
    parts = one.in_folder if isinstance(one, _Stars) else ()
    return next((part for part in parts if _PATTERN.fullmatch(part)), _ANYWHERE)


def _leads_to(head: str, folder: str) -> bool:
    """Whether an id in a folder can begin so."""
    return head.startswith(folder) or folder.startswith(head)


def _whole(glob: str) -> str:
    return glob if "=" in glob or _WILD.search(glob) else f"{glob.rstrip('/')}/*"


def _shortened(glob: str) -> str:
    return glob if len(glob) <= _MOST_SHOWN else f"{glob[: _MOST_SHOWN - 1]}…"
