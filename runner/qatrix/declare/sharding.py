"""Slices of a selection, so that several machines share a run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from qatrix.errors import UsageError


@dataclass(frozen=True)
class Shard:
    """One of `count` slices, counted from 1; written "3/8".

    A hash of its id alone puts a case into a slice: no case moves when others are added,
    and no machine has to know what the others run.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read "I/N"; raises UsageError for anything but whole numbers with 1 <= I <= N."""
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            msg = f"--shard {text}: expected I/N with 1 <= I <= N, for instance --shard 3/8 for the third of eight"
            raise UsageError(msg)
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, case_id: str) -> bool:
        """Whether a case is of this slice."""
        digest = hashlib.sha256(case_id.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1
