"""Tests of declare.sharding."""

from __future__ import annotations

import pytest

from qatrix.declare.sharding import Shard
from qatrix.errors import UsageError

IDS = [f"suite/pattern/dim={number}" for number in range(400)]


def test_a_shard_reads_as_it_is_written() -> None:
    assert Shard.parse("3/8") == Shard(3, 8)
    assert str(Shard.parse("3/8")) == "3/8"


@pytest.mark.parametrize("text", ["", "3", "0/8", "9/8", "1/0", "-1/8", "a/b", "1/8/2", " 1/8", "1.5/8", "²/8"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Shard.parse(text)

    assert str(caught.value).startswith(f"--shard {text}: expected I/N with 1 <= I <= N, for instance")


def test_every_case_is_in_exactly_one_shard() -> None:
    shards = [Shard(index, 7) for index in range(1, 8)]

    assert {sum(shard.holds(case_id) for shard in shards) for case_id in IDS} == {1}


def test_shards_are_of_about_one_size() -> None:
    sizes = [sum(Shard(index, 4).holds(case_id) for case_id in IDS) for index in range(1, 5)]

    assert min(sizes) > 70


def test_the_slices_are_the_same_on_every_machine_and_release() -> None:
    assert [case_id for case_id in IDS[:12] if Shard(1, 3).holds(case_id)] == [
        "suite/pattern/dim=2",
        "suite/pattern/dim=3",
        "suite/pattern/dim=8",
        "suite/pattern/dim=9",
    ]
