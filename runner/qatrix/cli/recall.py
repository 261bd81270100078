"""What a run takes over from earlier runs, and what it leaves to later ones."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qatrix import codec
from qatrix.cli.collaborators import Collaborators
from qatrix.execute.fingerprint import WATCHED
from qatrix.execute.options import Execution
from qatrix.outcomes import Environment, Record

if TYPE_CHECKING:
    from qatrix.cli.scripting import Subject
    from qatrix.cli.standing import Seal
    from qatrix.declare.spec import Case
    from qatrix.report.resultcache import ResultCache


class Recall:
    """The results of earlier runs; a fresh run takes over none of them."""

    def __init__(
        self, tools: Collaborators, cache: ResultCache, options: Execution, *, fresh: bool, reference: str | None
    ) -> None:
        self._tools = tools
        self._cache = cache
        self._fresh = fresh
        # Other machines' devices and files are not in this one's fingerprint.
        self._knows_where = options.address is None
        self._place = tools.fingerprint()
        # A run that asks for the plain path must not be given what the short one found, nor less than it asks for.
        self._prefix = f"{self._place} pattern_cache={options.pattern_cache} diagnose={options.diagnose}"
        if reference is not None:
            self._prefix += f" reference={reference}"
        self._keys: dict[str, str] = {}
        # The cases whose results later runs take over.
        self._lasting: set[str] = set()
        self._known = cache.environment(self._place)

    @property
    def surroundings(self) -> str:
        """What every case depends on."""
        return self._prefix

    @property
    def knows_environment(self) -> bool:
        """Whether the environment can be told without importing torch."""
        return self._known is not None

    def environment(self) -> Environment:
        """Where this process runs. Raises EnvironmentUnusable where torch cannot be imported."""
        if self._known is None:
            self._known = self._tools.environment()
            self._cache.keep_environment(self._place, self._known)
        return self._known

    def keys(self, cases: Collection[Case]) -> dict[str, str]:
        """What each case depends on, by case id, as a SHA-256 in hex; where that is not known, there is none."""
        from qatrix.declare.digest import case_digests

        new = (case for case in cases if case.case_id not in self._keys)
        digests = case_digests(case for case in new if self._knows_where and _is_watched(case))
        self._keys |= {
            case_id: hashlib.sha256(f"{self._prefix} {digest}".encode()).hexdigest()
            for case_id, digest in digests.items()
        }
        return {case.case_id: self._keys[case.case_id] for case in cases if case.case_id in self._keys}

    def records(self, cases: Collection[Case]) -> dict[str, Record]:
        """The records, by case id, of the cases that have not changed since an earlier run."""
        keys = self.keys(cases)
        if self._fresh:
            return {}
        found = self._cache.find(list(keys.values()))
        sources = {case.case_id: case.source for case in cases}
        records = {
            # The suite may stand elsewhere in its file now.
            case_id: replace(found[key], source=sources[case_id])
            for case_id, key in keys.items()
            # The file of the cache is data from elsewhere, too: under a key may lie another case's record.
            if key in found and found[key].case_id == case_id
        }
        self._lasting |= records.keys()
        return records

    def stands(self, folder: Path, seal: Seal) -> bool:
        """Whether the run in a folder was given this seal, and is to be taken for what another one would find."""
        known = None if self._fresh or not seal.known else self._cache.seal(str(folder.resolve()))
        return known is not None and known == seal.of(folder)

    def keep_seal(self, folder: Path, seal: Seal) -> None:
        """Seal the run in a folder, where later runs would take over the result of each of its cases."""
        if seal.known and self._lasting == self._keys.keys():
            self._cache.keep_seal(str(folder.resolve()), seal.of(folder))

    def keep(self, record: Record, run_id: str) -> None:
        """Leave a record, before its expectation, to later runs; not that of a case which changed what it ran in."""
        key = self._keys.get(record.case_id)
        if key is not None and not record.traces and self._cache.keep(key, record, run_id):
            self._lasting.add(record.case_id)

    def scripts(self, subjects: Iterable[Subject]) -> dict[str, str]:
        """The scripts, by case id, that were made of the same cases and records by the same code."""
        if self._fresh:
            return {}
        keys = self._script_keys(subjects)
        found = self._cache.scripts(list(keys.values()))
        return {case_id: found[key] for case_id, key in keys.items() if key in found}

    def keep_scripts(self, subjects: Iterable[Subject], scripts: Mapping[str, str]) -> None:
        """Leave scripts, by case id, to later runs."""
        keys = self._script_keys(subjects)
        self._cache.keep_scripts({keys[case_id]: text for case_id, text in scripts.items() if case_id in keys})

    def _script_keys(self, subjects: Iterable[Subject]) -> dict[str, str]:
        """What a script is made of, by case id: descriptions and places count here, too."""
        keys = {}
        for subject in subjects:
            case_id = subject.case.case_id
            if case_id in self._keys:
                # No script shows a diagnosis, nor the run that a record comes from.
                record = replace(subject.record, diagnosis=None, reused_from=None)
                told = (
                    f"{self._keys[case_id]} {subject.case!r} {codec.dumps(record)} {codec.dumps(subject.environment)}"
                )
                keys[case_id] = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()
        return keys


def _is_watched(case: Case) -> bool:
    """Whether a change of all code that it runs would be seen; the user's own can import anything."""
    pattern = case.pattern
    known = pattern.registration is None and (pattern.factory is None or pattern.place[0].partition(".")[0] in WATCHED)
    own_runtime = case.runtime is not None and case.runtime.runs_own_code
    return known and not case.quantizes_by_own_code and not own_runtime


@contextmanager
def recalling(
    tools: Collaborators, options: Execution, *, fresh: bool, reference: str | None = None
) -> Iterator[Recall]:
    """The results of earlier runs, open inside the block; `reference` says what one pipeline's side came from."""
    with tools.result_cache() as cache:
        yield Recall(tools, cache, options, fresh=fresh, reference=reference)
