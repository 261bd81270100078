"""Tests of report.merging; tests/cli/test_merging.py has the refusals, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qatrix.report.merging import demand_one_run, merged_run, missing_shards, read_parts, write_merged
from qatrix.report.store import Store
from support.records import ENVIRONMENT, make_record, make_run


def shard(folder: Path, name: str, cases: dict[str, int], **changes: object) -> Path:
    path = folder / f"{name.replace('/', '-')}.sqlite"
    run = make_run(id=name, shard=name, declared=len(cases), matrix_digest="d", **changes)
    with Store.create(path, run) as store:
        store.plan_at(cases)
        for case_id in cases:
            store.finish(make_record(case_id))
        store.end(run)
    return path


def test_parts_come_in_the_order_of_their_shards(tmp_path: Path) -> None:
    paths = [shard(tmp_path, name, {}) for name in ("10/10", "2/10", "9/10")]

    assert [part.run.id for part in read_parts(paths)] == ["2/10", "9/10", "10/10"]
    assert missing_shards(read_parts(paths)) == tuple(f"{index}/10" for index in (1, 3, 4, 5, 6, 7, 8))


def test_merged_cases_are_in_the_order_of_the_whole(tmp_path: Path) -> None:
    parts = read_parts([shard(tmp_path, "1/2", {"s/d": 3, "s/a": 0}), shard(tmp_path, "2/2", {"s/b": 1, "s/c": 2})])
    demand_one_run(parts, allow_missing=False)
    run = merged_run(parts, "merged")
    write_merged(parts, run, tmp_path / "merged.sqlite")

    with Store.open(tmp_path / "merged.sqlite") as store:
        assert store.ordinals() == {"s/a": 0, "s/b": 1, "s/c": 2, "s/d": 3}
        assert [record.case_id for record in store.records()] == ["s/a", "s/b", "s/c", "s/d"]
        assert store.run() == run


def test_a_merged_run_began_with_the_first_shard_and_took_the_time_of_all(tmp_path: Path) -> None:
    first = shard(tmp_path, "1/2", {}, started="2026-08-27T10:15:09+00:00", seconds=2.0)
    second = shard(tmp_path, "2/2", {}, started="2026-08-27T10:15:01+00:00", seconds=3.0)
    run = merged_run(read_parts([first, second]), "merged")

    assert (run.started, run.seconds) == ("2026-08-27T10:15:01+00:00", 5.0)
    assert (run.shard, run.merged_from, run.missing_shards) == (None, ("1/2", "2/2"), ())


def test_platforms_may_differ_and_a_warning_is_there_once(tmp_path: Path) -> None:
    first = shard(tmp_path, "1/2", {}, warnings=("stale",))
    second = shard(tmp_path, "2/2", {}, warnings=("stale",), environment=replace(ENVIRONMENT, platform="Other"))
    parts = read_parts([first, second])
    demand_one_run(parts, allow_missing=False)
    run = merged_run(parts, "merged")

    assert run.environment == replace(ENVIRONMENT, platform=f"{ENVIRONMENT.platform}; Other")
    assert run.warnings == ("stale",)
