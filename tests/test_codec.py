"""Tests of codec."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qatrix import codec
from qatrix.outcomes import Comparison, Record, Run
from support.records import make_comparison, make_diverged, make_dropped, make_failed, make_record, make_run

HOSTILE = "<script>alert('\"')</script>\n\u202eRTL\u202c 🙂 \x00\x1b \ud800 " + "long " * 2000


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(make_record(), id="exact"),
        pytest.param(make_failed(), id="failed"),
        pytest.param(make_diverged(), id="diverged"),
        pytest.param(make_record(summary=HOSTILE, reason=HOSTILE), id="hostile text"),
        pytest.param(make_record(axes={"a": True, "b": 1, "c": 1.0, "d": None, "e": ((1, "x"), 2.5)}), id="all values"),
        pytest.param(make_record(axes={"inf": math.inf, "text": "inf"}), id="infinite axis beside its spelling"),
    ],
)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert codec.loads(Record, codec.dumps(record)) == record


def test_a_run_comes_back_as_it_was() -> None:
    run = make_run(dropped=(make_dropped(),), warnings=("stale",), declared=3)
    assert codec.loads(Run, codec.dumps(run)) == run


def test_whole_numbers_booleans_and_floats_keep_their_types() -> None:
    axes = codec.loads(Record, codec.dumps(make_record(axes={"a": True, "b": 1, "c": 1.0}))).axes
    assert [type(value) for value in axes.values()] == [bool, int, float]


@given(st.floats())
def test_floats_are_exact_and_the_json_is_strict(value: float) -> None:
    text = codec.dumps(make_comparison(max_abs=value))
    back = codec.loads(Comparison, text).max_abs
    json.loads(text, parse_constant=pytest.fail)
    assert back is not None
    assert (math.isnan(back) and math.isnan(value)) or (
        back == value and math.copysign(1, back) == math.copysign(1, value)
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"surprise": 1}, "Comparison has no field surprise", id="unknown field"),
        pytest.param({"status": "odd"}, "Comparison.status cannot be 'odd'", id="no such status"),
        pytest.param({"max_abs": "much"}, "Comparison.max_abs must be float, not 'much'", id="text for a number"),
        pytest.param({"mismatched": 1.5}, "Comparison.mismatched must be int, not 1.5", id="float for a count"),
        pytest.param({"at": None}, "Comparison.at must be str, not None", id="null where text is due"),
    ],
)
def test_what_does_not_fit_is_refused_by_field(changes: dict[str, Any], message: str) -> None:
    data = codec.to_jsonable(make_comparison()) | changes
    with pytest.raises(codec.CodecError, match=message):
        codec.from_jsonable(Comparison, data)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}"])
def test_text_that_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(codec.CodecError):
        codec.loads(Record, text)


def test_a_missing_field_takes_its_default() -> None:
    data = codec.to_jsonable(make_record())
    del data["reason"]
    assert codec.from_jsonable(Record, data).reason is None
