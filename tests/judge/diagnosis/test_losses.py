"""Where two programs leave the float model alike."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qatrix.diagnoses import Cause, Divergence, LayerRow, PointDiagnosis
from qatrix.judge.diagnosis.causes import Facts, find_causes
from support.diagnoses import FIRST, make_layer
from support.sights import layout, site

pytestmark = pytest.mark.torch
CHAIN = layout(site("x"), site("a", "x"), site("b", "a", op="Softmax"), site("c", "b"))


def level(layer: str, decibels: float | None) -> LayerRow:
    return make_layer(layer, left_sqnr_db=decibels, right_sqnr_db=decibels)


def varying(layer: str, decibels: float, varies: float | None, **changes: Any) -> LayerRow:
    return make_layer(
        layer,
        left_sqnr_db=decibels,
        right_sqnr_db=decibels,
        left_variation_db=varies,
        right_variation_db=varies,
        **changes,
    )


def causes_of(
    *rows: LayerRow, first: Divergence | None = None, outputs: tuple[float | None, ...] = (None, None)
) -> tuple[Cause, ...]:
    point = PointDiagnosis(at="convert", layers=rows, variation_db=dict(zip(("left", "right"), outputs)))
    return find_causes(Facts(names=("left", "right"), layout=CHAIN, points={"convert": point}, sights={}, first=first))


def test_the_layer_that_costs_most_is_named() -> None:
    (cause,) = causes_of(level("x", math.inf), level("a", 43.0), level("b", 9.0), level("c", 0.0))

    assert (cause.name, cause.kind, cause.pipeline, cause.layer) == ("shared_loss", "unexplained", None, "b")
    assert cause.sentence == "left and right agree, but both lose the most quality at b (Softmax)"
    assert cause.evidence == (
        "at convert: the input of b has an SQNR above 40 dB",
        "left at convert: SQNR 9.0 dB after computing it",
        "right at convert: SQNR 9.0 dB after computing it",
    )


@pytest.mark.parametrize(
    "decibels", [(math.inf, 43.0, 38.0, 35.0), (None, 35.0, None, 30.0), (144.0, 44.0, 41.0, 60.0)]
)
def test_a_little_noise_at_every_layer_is_no_loss(decibels: tuple[float | None, ...]) -> None:
    assert causes_of(*(level(name, value) for name, value in zip(CHAIN.sites, decibels))) == ()


def test_a_layer_that_is_not_seen_is_as_near_as_the_one_before_it() -> None:
    (cause,) = causes_of(level("x", 43.0), level("a", 43.0), level("c", 5.0))

    assert cause.layer == "c"


def test_a_mask_does_not_hide_the_layer_that_loses_what_varies() -> None:
    (cause,) = causes_of(
        varying("x", 43.0, 42.0),
        varying("a", 771.0, 39.0),
        varying("a", 771.0, -30.0, value="quantized"),
        varying("b", 9.0, 1.0),
        varying("c", 0.0, 0.0),
    )

    assert cause.layer == "a"
    assert cause.sentence == "left and right agree, but both lose the most variation between samples at a (Linear)"
    assert cause.evidence == (
        "at convert: the input of a has an SQNR of 39.0 dB",
        "left at convert: SQNR 771.0 dB (-30.0 dB of the variation between samples) after quantizing its output",
        "right at convert: SQNR 771.0 dB (-30.0 dB of the variation between samples) after quantizing its output",
    )


def test_a_layer_that_moves_the_samples_away_hides_no_loss_before_it() -> None:
    (cause,) = causes_of(
        varying("x", 43.0, 42.0), varying("a", 60.0, -9.0), varying("b", 60.0, None), varying("c", 60.0, -9.0)
    )

    assert cause.layer == "a"


def test_what_one_program_keeps_to_the_bit_is_not_lost() -> None:
    kept = make_layer("a", left_sqnr_db=math.inf, right_sqnr_db=47.0, right_variation_db=-3.0)

    assert causes_of(varying("x", 43.0, 42.0), kept) == ()


@pytest.mark.parametrize(
    ("outputs", "names"),
    [
        pytest.param((-3.0, 0.0), ["unexplained", "shared_loss"], id="both lose it"),
        pytest.param((-3.0, 9.0), ["unexplained"], id="one keeps it"),
        pytest.param((-3.0, None), ["unexplained"], id="one is not known"),
    ],
)
def test_programs_that_differ_and_both_lose_what_varies_lose_it_somewhere(
    outputs: tuple[float | None, ...], names: list[str]
) -> None:
    causes = causes_of(varying("x", 43.0, 42.0), varying("a", 60.0, -9.0), first=FIRST, outputs=outputs)

    assert [cause.name for cause in causes] == names
    assert causes[0].explains_first
    assert all(
        cause.sentence.startswith("left and right both lose the most variation between samples") for cause in causes[1:]
    )
