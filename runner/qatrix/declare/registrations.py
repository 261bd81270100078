"""What installed distributions register with qatrix, by their metadata alone: no code of theirs is imported."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Final

from qatrix.declare.spec import Registration

QUANTIZERS: Final = "qatrix.quantizers"
PIPELINES: Final = "qatrix.pipelines"
RUNTIMES: Final = "qatrix.runtimes"
MODELS: Final = "qatrix.models"
_SEPARATORS: Final = re.compile(r"[-_.]+")


def registrations(group: str) -> Mapping[str, tuple[Registration, ...]]:
    """What a group of entry points has, by the names that YAML may use.

    These are the short name, under which several distributions may have registered something,
    and `distribution.name`, whose first half may be written as in `pip install`.
    """
    found: defaultdict[str, list[Registration]] = defaultdict(list)
    for item in _installed(group):
        for name in (item.name, f"{_normal(item.distribution)}.{item.name}"):
            found[name].append(item)
    return {name: tuple(items) for name, items in found.items()}


def named(name: str, group: str) -> tuple[Registration, ...]:
    """What a name stands for: nothing, one registration, or the several that share it."""
    known = registrations(group)
    distribution, dot, last = name.rpartition(".")
    return known.get(name) or known.get(f"{_normal(distribution)}{dot}{last}", ())


def unique_name(item: Registration, group: str, built_in: Collection[str]) -> str:
    """The shortest name that stands for a registration and nothing else: its own, or with its distribution's."""
    is_shared = item.name in built_in or len(named(item.name, group)) > 1
    return f"{item.distribution}.{item.name}" if is_shared else item.name


def sorted_registrations(group: str) -> tuple[Registration, ...]:
    """All of a group, by name and distribution."""
    return tuple(sorted(_installed(group), key=lambda item: (item.name, item.distribution)))


def _installed(group: str) -> tuple[Registration, ...]:
    return _found_on(tuple(sys.path), group)


# The metadata of a hundred distributions takes 20 ms to search.
@cache
def _found_on(path: tuple[str, ...], group: str) -> tuple[Registration, ...]:
    del path  # it is what the search depends on
    return tuple(dict.fromkeys(_found(group)))


def _found(group: str) -> Iterator[Registration]:
    for point in importlib.metadata.entry_points(group=group):
        # None for an entry point that was not found but made.
        if point.dist is not None:
            module, _, attribute = point.value.partition(":")
            yield Registration(
                name=point.name,
                module=module.strip(),
                attribute=attribute.partition("[")[0].strip(),
                distribution=point.dist.name,
                version=point.dist.version,
            )


def _normal(distribution: str) -> str:
    """A distribution's name as the index compares it: my_dist, My.Dist and my-dist are one."""
    return _SEPARATORS.sub("-", distribution).lower()
