"""The stand-in for the pipelines."""

from __future__ import annotations

from benchmarks.selection import CONV_BN, shipped
from benchmarks.waiting import WAIT_SECONDS, waiting


def test_a_stand_in_takes_its_time_and_is_exact() -> None:
    record = waiting(shipped(CONV_BN)[0])

    assert (record.case_id, record.verdict, record.seconds) == (CONV_BN, "exact", WAIT_SECONDS)
