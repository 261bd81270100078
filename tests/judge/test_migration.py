"""Tests of judge.migration."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from qatrix.diagnoses import Cause
from qatrix.judge.migration import migration
from qatrix.outcomes import Comparison, PipelineOutcome
from support.lowerings import CLAMP, apart, make_lowered, make_lowering, off
from support.records import make_outcome

FROM_TO = "after moving from fx on native (engine qnnpack) to pt2e on executorch (partitioner xnnpack): "
TIES = Cause(name="rounding_ties", kind="by_design", sentence="halves are rounded the other way.")
UNKNOWN = Cause(name="unexplained", kind="unexplained", sentence="nothing known explains it")


def native(sqnr_db: float | None = 3.6, *causes: Cause) -> PipelineOutcome:
    return make_lowered("fx", lowering=make_lowering("native", sqnr_db=sqnr_db, causes=causes))


def executorch(sqnr_db: float | None = 37.6, *causes: Cause) -> PipelineOutcome:
    return make_lowered("pt2e", lowering=make_lowering(sqnr_db=sqnr_db, causes=causes))


def test_the_sentence_has_decibels_steps_and_the_cause() -> None:
    told = migration(native(3.6, CLAMP), executorch(), (off("fx", "native", 95.0), apart(95.0)))

    assert told == FROM_TO + "SQNR +34.0 dB, outputs differ by up to 95 steps; fx's clamp is wrong"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (37.6, 3.6, "SQNR -34.0 dB, "),
        (36.42, 36.44, "equally close to the float model, "),
        (-math.inf, 36.4, "SQNR -∞ dB becomes 36.4 dB, "),
        (math.inf, 36.4, "SQNR ∞ dB becomes 36.4 dB, "),
        (math.inf, math.inf, ""),
        (math.nan, 36.4, ""),
        (None, 36.4, ""),
    ],
)
def test_decibels_are_told_where_there_are_some(before: float | None, after: float, told: str) -> None:
    assert (
        migration(native(before), executorch(after), [apart(2.0)]) == FROM_TO + told + "outputs differ by up to 2 steps"
    )


@pytest.mark.parametrize(
    ("comparison", "told"),
    [
        (apart(1.0), "outputs differ by up to 1 step"),
        (apart(1.0, max_steps=None, max_abs=0.25), "outputs differ by up to 0.25"),
        (apart(0.0, status="exact"), "outputs bit-identical"),
        (
            apart(0.0, status="mismatched", max_abs=None, message="shapes (1, 2) and (2,)"),
            "outputs cannot be compared: shapes (1, 2) and (2,)",
        ),
        (apart(1.0, "fx on native", "pt2e on executorch"), "outputs differ by up to 1 step"),
    ],
)
def test_how_far_outputs_are_apart(comparison: Comparison, told: str) -> None:
    assert migration(native(None), executorch(), [comparison]) == FROM_TO + told


@pytest.mark.parametrize(
    ("causes", "told"),
    [
        ((), ""),
        ((UNKNOWN,), ""),
        ((TIES,), "; halves are rounded the other way"),
        ((TIES, CLAMP), "; fx's clamp is wrong"),
        ((CLAMP, CLAMP, UNKNOWN), "; fx's clamp is wrong"),
    ],
)
def test_defects_come_before_what_is_so_by_design_and_nothing_is_told_twice(
    causes: tuple[Cause, ...], told: str
) -> None:
    sentence = migration(native(None), executorch(36.0, *causes), [apart(1.0)])

    assert sentence == FROM_TO + "outputs differ by up to 1 step" + told


def test_there_is_no_sentence_where_either_did_not_run_there_or_nothing_was_compared() -> None:
    assert migration(make_outcome("fx"), executorch(), [apart(1.0)]) is None
    assert migration(native(), replace(executorch(), lowering=None), [apart(1.0)]) is None
    assert migration(native(), executorch(), [off("fx", "native", 1.0)]) is None
