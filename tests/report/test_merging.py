"""Tests of report.merging; tests/cli/test_merging.py has the refusals, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qatrix.errors import UsageError
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


def test_of_the_processors_features_those_are_kept_that_all_have_or_all_lack(tmp_path: Path) -> None:
    first, second = (replace(ENVIRONMENT, cpu={"vnni": there, "amx": False}) for there in (True, False))
    parts = read_parts([shard(tmp_path, "1/2", {}, environment=first), shard(tmp_path, "2/2", {}, environment=second)])
    demand_one_run(parts, allow_missing=False)

    assert merged_run(parts, "merged").environment.cpu == {"amx": False}


OVERLAPS = {
    "a case in both": ({"s/a": 0, "s/b": 1}, {"s/b": 1, "s/c": 2}, "both have case s/b, and each case is of one shard"),
    "a case at two places": ({"s/a": 0}, {"s/a": 1}, "both have case s/a, and"),
    "several": ({"s/a": 0, "s/b": 1}, {"s/a": 0, "s/b": 1}, "both have case s/a and 1 more, and"),
    "one place": ({"s/a": 0}, {"s/b": 0}, "s/a and s/b stand at the same place of the whole"),
}


@pytest.mark.parametrize("allow_missing", [False, True])
@pytest.mark.parametrize(("first", "second", "told"), OVERLAPS.values(), ids=OVERLAPS)
def test_shards_that_overlap_are_refused(
    tmp_path: Path, first: dict[str, int], second: dict[str, int], told: str, *, allow_missing: bool
) -> None:
    parts = read_parts([shard(tmp_path, "1/2", first), shard(tmp_path, "2/2", second)])

    with pytest.raises(UsageError, match=rf"1-2\.sqlite and .*2-2\.sqlite cannot be merged: {told}"):
        demand_one_run(parts, allow_missing=allow_missing)


def test_a_shard_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    path = shard(tmp_path, "1/2", {"s/a": 0})
    (tmp_path / "link.sqlite").symlink_to(path)

    with pytest.raises(UsageError, match="they are one file; name each shard once"):
        demand_one_run(read_parts([path, tmp_path / "link.sqlite"]), allow_missing=True)


def test_shards_that_leave_out_a_selected_case_are_refused(tmp_path: Path) -> None:
    parts = read_parts([shard(tmp_path, "1/2", {"s/a": 0}), shard(tmp_path, "2/2", {"s/c": 2})])

    with pytest.raises(UsageError, match="all 2 shards are there, and of 3 selected cases 1 are in none"):
        demand_one_run(parts, allow_missing=False)
    demand_one_run(parts, allow_missing=True)
