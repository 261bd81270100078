"""Which expectation applies to a case, and which apply to none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from packaging.specifiers import SpecifierSet

from qatrix.claims import Expectation
from qatrix.declare.globs import matcher
from qatrix.errors import Problem


class ExpectationTable:
    """Expectations in file order, for one environment's package versions (None: not installed)."""

    def __init__(self, expectations: Sequence[Expectation], versions: Mapping[str, str | None]) -> None:
        self._expectations = tuple(expectations)
        self._active = tuple(item for item in expectations if _holds(item, versions))

    def for_case(self, case_id: str, device: str) -> Expectation | None:
        """The first expectation whose glob, versions and device all fit, None where there is none."""
        for item in self._active:
            if (item.device is None or item.device == device) and matcher(item.cases)(case_id):
                return item
        return None

    def stale(self, case_ids: Iterable[str]) -> tuple[Problem, ...]:
        """A warning for each expectation that no declared case fits."""
        idle = list(self._expectations)
        for case_id in case_ids:
            if not idle:
                break
            idle = [item for item in idle if not matcher(item.cases)(case_id)]
        return tuple(
            Problem(
                source=item.source,
                message=f"the expectation for {item.cases} fits no declared case: it is stale, or misspelt",
                severity="warning",
            )
            for item in idle
        )


def _holds(item: Expectation, versions: Mapping[str, str | None]) -> bool:
    return all(
        _within(versions.get(package), specifier)
        for package, specifier in (("torch", item.torch), ("torchao", item.torchao))
        if specifier is not None
    )


def _within(version: str | None, specifier: str) -> bool:
    """Whether a version fits; local versions (2.13.0+cpu) and pre-releases count as their release."""
    return version is not None and SpecifierSet(specifier).contains(version.partition("+")[0], prereleases=True)
