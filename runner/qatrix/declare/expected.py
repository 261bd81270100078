"""Which expectation applies to a case, and which apply to none."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from qatrix.claims import Expectation
from qatrix.declare.globs import GlobIndex
from qatrix.errors import Problem
from qatrix.lowerings import REFERENCE

# The packages whose versions an expectation may name, and what it says of one that must not be there.
PACKAGES: Final = ("torch", "torchao", "executorch", "onnxruntime")
ABSENT: Final = "none"
_RUNTIME: Final = re.compile(r"[/,]runtime=([^,]*)")
_DEVICE: Final = re.compile(r"[/,]device=([^,]*)")


class ExpectationTable:
    """Expectations in file order, for one environment.

    `versions` are those of its packages (None: not installed), `cpu` the features of its processor, as far as known.
    """

    def __init__(
        self,
        expectations: Sequence[Expectation],
        versions: Mapping[str, str | None],
        cpu: Mapping[str, bool],
    ) -> None:
        self._all = tuple(expectations)
        self._index = GlobIndex([item.cases for item in self._all])
        self._holding = frozenset(number for number, item in enumerate(self._all) if _holds(item, versions, cpu))

    @property
    def holding(self) -> tuple[Expectation, ...]:
        """Those that hold for this environment, on its devices."""
        return tuple(item for number, item in enumerate(self._all) if number in self._holding)

    def for_case(self, case_id: str, device: str) -> Expectation | None:
        """The first expectation whose glob, versions, processor and device all fit, None where there is none."""
        for number in self._index.fitting(case_id):
            item = self._all[number]
            if number in self._holding and item.device in (None, device) and _in_runtime(item, case_id):
                return item
        return None

    def stale(self, case_ids: Iterable[str]) -> tuple[Problem, ...]:
        """A warning for each expectation that no declared case fits, or that an earlier one always hides.

        `case_ids` are all declared cases. Versions and processors do not count here: what waits for another
        release or machine is not stale.
        """
        left = set(range(len(self._all)))
        hidden: dict[int, int] = {}
        for case_id in case_ids:
            if not left:
                break
            # Most cases fit only what earlier ones have reached.
            if self._index.any_of(left, case_id):
                self._note(case_id, left=left, hidden=hidden)
        return tuple(self._warnings(left, hidden))

    def _note(self, case_id: str, *, left: set[int], hidden: dict[int, int]) -> None:
        """Take away the expectations that a case reaches, and note by which earlier one others are hidden from it."""
        fitting = [number for number in self._index.fitting(case_id) if _is_for(self._all[number], case_id)]
        for place, number in enumerate(fitting):
            if number not in left:
                continue
            earlier = (other for other in fitting[:place] if _covers(self._all[other], self._all[number]))
            hiding = next(earlier, None)
            if hiding is None:
                left.discard(number)
            else:
                hidden.setdefault(number, hiding)

    def _warnings(self, left: Collection[int], hidden: Mapping[int, int]) -> Iterator[Problem]:
        for number in sorted(left):
            item = self._all[number]
            if number in hidden:
                other = self._all[hidden[number]]
                message = f"stale expectation: the one at {other.source} comes first for every case of {item.cases}"
                expected = "a case that no earlier expectation covers"
            else:
                on = f" on device {item.device}" if item.device else ""
                message = f"stale expectation: no declared case fits {item.cases}{on}"
                expected = "a glob over case ids; `qatrix list` prints them"
            yield Problem(source=item.source, message=message, at="expected", expected=expected, severity="warning")


def _holds(item: Expectation, versions: Mapping[str, str | None], cpu: Mapping[str, bool]) -> bool:
    # Of a feature that is not known, nothing holds.
    if any(cpu.get(feature) is not wanted for feature, wanted in item.cpu.items()):
        return False
    conditions = ((package, getattr(item, package)) for package in PACKAGES)
    return all(_within(versions.get(package), text) for package, text in conditions if text is not None)


def _within(version: str | None, specifier: str) -> bool:
    """Whether a version fits; one that is missing fits `none` alone, and what is no version by PEP 440 nothing.

    Local parts do not count (2.13.0+cpu), and a nightly counts as the release it leads to,
    unless the specifier names a pre-release itself: by PEP 440 alone a nightly of 2.16 is
    neither ">=2.16" nor "<2.16", so that an expectation of either would not hold on it.
    """
    if version is None or specifier == ABSENT:
        return version is None and specifier == ABSENT
    try:
        found = Version(version)
    except InvalidVersion:
        return False
    wanted = SpecifierSet(specifier)
    return wanted.contains(found.public if wanted.prereleases else found.base_version, prereleases=True)


def _on_device(item: Expectation, case_id: str) -> bool:
    """Whether an expectation's device is the case's, as its id names it."""
    if item.device is None:
        return True
    found = _DEVICE.search(case_id)
    return found is None or found.group(1) == item.device


def _is_for(item: Expectation, case_id: str) -> bool:
    return _on_device(item, case_id) and _in_runtime(item, case_id)


def _in_runtime(item: Expectation, case_id: str) -> bool:
    """Whether an expectation's runtime is the case's, as its id names it: the reference where it names none."""
    if item.runtime is None:
        return True
    found = _RUNTIME.search(case_id)
    return item.runtime == (REFERENCE if found is None else found.group(1))


def _covers(earlier: Expectation, later: Expectation) -> bool:
    """Whether the earlier one holds wherever the later one does, so far as can be read off."""
    if not earlier.cpu.items() <= later.cpu.items():
        return False
    return all(getattr(earlier, package) in (None, getattr(later, package)) for package in PACKAGES)
