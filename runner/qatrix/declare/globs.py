"""Globs over case ids, for selectors and expectations: `*` crosses every character, `{a,b}` is either."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Callable

_BRACES = re.compile(r"\{([^{}]*)\}")
_WILD = frozenset("*?[{")


@functools.lru_cache(maxsize=4096)
def matcher(glob: str) -> Callable[[str], bool]:
    """Whether a case id fits a glob.

    A glob without a wildcard and without "=" is the name of a suite, or of a pattern in a
    suite (`conv_bn_fusion/conv_bn`), and fits everything below it.
    """
    if not _WILD & set(glob):
        prefix = f"{glob.rstrip('/')}/"
        return lambda case_id: case_id == glob or ("=" not in glob and case_id.startswith(prefix))
    pattern = re.compile("|".join(fnmatch.translate(one) for one in alternatives(glob)))
    return lambda case_id: pattern.match(case_id) is not None


def alternatives(glob: str) -> tuple[str, ...]:
    """The globs that a glob with braces stands for, innermost braces first."""
    found = _BRACES.search(glob)
    if found is None:
        return (glob,)
    head, tail = glob[: found.start()], glob[found.end() :]
    return tuple(one for choice in found.group(1).split(",") for one in alternatives(f"{head}{choice}{tail}"))
