"""Where two programs that agree leave the float model alike."""

from __future__ import annotations

import math

import pytest

from qatrix.diagnoses import Cause, LayerRow, PointDiagnosis
from qatrix.judge.diagnosis.causes import Facts, find_causes
from support.diagnoses import make_layer
from support.sights import layout, site

pytestmark = pytest.mark.torch
CHAIN = layout(site("x"), site("a", "x"), site("b", "a", op="Softmax"), site("c", "b"))


def level(layer: str, decibels: float | None) -> LayerRow:
    return make_layer(layer, left_sqnr_db=decibels, right_sqnr_db=decibels)


def causes_of(*rows: LayerRow) -> tuple[Cause, ...]:
    point = PointDiagnosis(at="convert", layers=rows)
    return find_causes(Facts(names=("left", "right"), layout=CHAIN, points={"convert": point}, sights={}, first=None))


def test_the_layer_that_costs_most_is_named() -> None:
    (cause,) = causes_of(level("x", math.inf), level("a", 43.0), level("b", 9.0), level("c", 0.0))

    assert (cause.name, cause.kind, cause.pipeline, cause.layer) == ("shared_loss", "unexplained", None, "b")
    assert cause.sentence == "left and right agree, and both lose most against the float model at b, Softmax"
    assert cause.evidence == (
        "at convert: what goes into b is nearer to the float model than 40 dB",
        "left at convert: 9.0 dB after computing it",
        "right at convert: 9.0 dB after computing it",
    )


@pytest.mark.parametrize(
    "decibels", [(math.inf, 43.0, 38.0, 35.0), (None, 35.0, None, 30.0), (144.0, 44.0, 41.0, 60.0)]
)
def test_a_little_noise_at_every_layer_is_no_loss(decibels: tuple[float | None, ...]) -> None:
    assert causes_of(*(level(name, value) for name, value in zip(CHAIN.sites, decibels))) == ()


def test_a_layer_that_is_not_seen_is_as_near_as_the_one_before_it() -> None:
    (cause,) = causes_of(level("x", 43.0), level("a", 43.0), level("c", 5.0))

    assert cause.layer == "c"
