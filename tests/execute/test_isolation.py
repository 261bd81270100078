"""Limits of workers on systems that tell less of a process than Linux does."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import pytest

from qatrix.execute import isolation, options

MEBIBYTE = 2**20
BLOCK = 64 * MEBIBYTE


@pytest.mark.parametrize("statm", ["/proc/self/statm", "/no/such/file"])
def test_a_process_that_holds_more_has_more_resident_memory(statm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_STATM", Path(statm))
    with ExitStack() as opened:
        resident = isolation._resident(opened)
        before = resident()
        held: list[bytes] = []
        # What the process has freed lies below the most that it ever had, and is taken first.
        while resident() <= before and len(held) * BLOCK < 2 * before:
            held.append(b"\1" * BLOCK)

        assert before > MEBIBYTE
        assert resident() > before


def test_without_an_account_of_free_memory_there_are_workers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "_MEMINFO", "/no/such/file")

    assert 1 <= options.default_workers() <= (os.cpu_count() or 1)
    assert 0 < options._available_bytes() < float("inf")
