"""What a run store has beside the records of its cases: scripts, notes, YAML, what was not selected, what changed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qatrix import codec
from qatrix.outcomes import Excerpt
from qatrix.report.agreement import Disagreement, listing_of, script_of, text_of
from qatrix.report.changes import Since
from qatrix.report.database import Database
from qatrix.report.storeschema import EXCERPTS, SCRIPT_NOTES, SCRIPTS, SINCE, UNSELECTED

# All scripts of one store, in characters: of a merged run with ten thousand a tenth of it.
MOST_SCRIPTS: Final = 2**30


class Attachments(Database):
    """Tables that a store of an earlier qatrix may lack."""

    def keep_scripts(self, scripts: Mapping[str, str]) -> None:
        """Keep the scripts of cases, by their ids; a script or a note that was kept before is replaced."""
        rows = [(case_id, zlib.compress(text.encode("utf-8", "backslashreplace"))) for case_id, text in scripts.items()]
        if rows:
            with self._transaction() as connection:
                connection.execute(SCRIPTS)
                connection.executemany("INSERT OR REPLACE INTO scripts VALUES (?, ?)", rows)
                connection.execute(SCRIPT_NOTES)
                connection.executemany("DELETE FROM script_notes WHERE case_id = ?", [row[:1] for row in rows])

    def scripts(self) -> dict[str, str]:
        """The scripts by the ids of their cases, in planned order; none in a store of before there were any."""
        if not self._has("scripts"):
            return {}
        statement = (
            "SELECT scripts.case_id, script, cases.case_id"
            " FROM scripts LEFT JOIN cases USING (case_id) ORDER BY ordinal"
        )
        return dict(self._scripts(self._read(statement)))

    def _scripts(self, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[str, str]]:
        room = MOST_SCRIPTS
        for case_id, packed, known in rows:
            with self._agreeing():
                if known is None:
                    msg = f"it has a script of {case_id!r:.80}, and no such case"
                    raise Disagreement(msg)
                script = script_of(packed, case_id)
                room -= len(script)
                if room < 0:
                    msg = f"its scripts have more than {MOST_SCRIPTS} characters"
                    raise Disagreement(msg)
                yield text_of(case_id, "case_id"), script

    def keep_script_notes(self, notes: Mapping[str, str]) -> None:
        """Keep why cases have no script or no bug report, by their ids; one that was kept before is replaced."""
        rows = [(case_id, note.encode("utf-8", "backslashreplace").decode()) for case_id, note in notes.items()]
        if rows:
            with self._transaction() as connection:
                connection.execute(SCRIPT_NOTES)
                connection.executemany("INSERT OR REPLACE INTO script_notes VALUES (?, ?)", rows)

    def script_notes(self) -> dict[str, str]:
        """Why cases have no script or no bug report, by their ids, in planned order."""
        if not self._has("script_notes"):
            return {}
        statement = (
            "SELECT script_notes.case_id, note, cases.case_id"
            " FROM script_notes LEFT JOIN cases USING (case_id) ORDER BY ordinal"
        )
        return dict(self._script_note(*row) for row in self._read(statement))

    def _script_note(self, case_id: object, note: object, known: object) -> tuple[str, str]:
        with self._agreeing():
            if known is None:
                msg = f"it has a note on the script of {case_id!r:.80}, and no such case"
                raise Disagreement(msg)
            return text_of(case_id, "case_id"), text_of(note, "note")

    def keep_excerpts(self, excerpts: Iterable[Excerpt]) -> None:
        """Keep the YAML that declares what the run's cases are made of."""
        rows = [(item.axis, item.name, codec.dumps(item)) for item in excerpts]
        if rows:
            with self._transaction() as connection:
                connection.execute(EXCERPTS)
                connection.executemany("INSERT OR REPLACE INTO excerpts VALUES (?, ?, ?)", rows)

    def excerpts(self) -> tuple[Excerpt, ...]:
        """The YAML that was kept; nothing in a store of before there was any."""
        if not self._has("excerpts"):
            return ()
        rows = self._read("SELECT axis, name, excerpt FROM excerpts ORDER BY rowid")
        return tuple(self._excerpt(*row) for row in rows)

    def _excerpt(self, axis: object, name: object, text: object) -> Excerpt:
        found = self._decoded(Excerpt, text)
        with self._agreeing():
            if (found.axis, found.name) != (axis, name):
                msg = f"the row of {axis} {name!r:.80} has the excerpt of {found.axis} {found.name!r:.80}"
                raise Disagreement(msg)
        return found

    def keep_unselected(self, case_ids: Iterable[str]) -> None:
        """Keep the ids of declared cases that the run does not select; those that were kept before are replaced."""
        packed = zlib.compress(codec.dumps(_CaseIds(items=tuple(case_ids))).encode())
        with self._transaction() as connection:
            connection.execute(UNSELECTED)
            connection.execute("DELETE FROM unselected")
            connection.execute("INSERT INTO unselected VALUES (?)", (packed,))

    def unselected(self) -> tuple[str, ...] | None:
        """The ids of declared cases that the run did not select; None in a store that does not say."""
        rows = self._rows_of("unselected", "SELECT case_ids FROM unselected LIMIT 2")
        if not rows:
            return None
        with self._agreeing():
            text = listing_of(rows[0][0])
        return self._decoded(_CaseIds, text).items

    def keep_since(self, since: Since | None) -> None:
        """Keep what changed since the baseline, or that there is none; what was kept before is replaced."""
        with self._transaction() as connection:
            connection.execute(SINCE)
            connection.execute("DELETE FROM since")
            connection.execute("INSERT INTO since VALUES (?)", (None if since is None else codec.dumps(since),))

    def since(self) -> Since | None:
        """What changed since the baseline that the run was compared with; None where there was none."""
        rows = self._rows_of("since", "SELECT since FROM since LIMIT 2")
        return None if not rows or rows[0][0] is None else self._decoded(Since, rows[0][0])


@dataclass(frozen=True, kw_only=True)
class _CaseIds:
    """The ids of cases."""

    items: tuple[str, ...]
