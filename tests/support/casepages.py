"""Diagnoses with graphs as the case page shows them: one that differs at a convolution, one whose names are hostile."""

from __future__ import annotations

from dataclasses import replace

from qatrix.diagnoses import Diagnosis, Divergence, GraphLine, GraphText, ParameterRow
from support.diagnoses import make_diagnosis, make_layer, make_parameters, make_point

PT2E = GraphText(
    pipeline="pt2e",
    lines=(
        GraphLine(text="conv_weight = constant conv.weight"),
        GraphLine(text="post_1 = FusedMovingAvgObsFakeQuantize[post_1](conv_weight)", layer="conv"),
        GraphLine(text="x = input", layer="x"),
        GraphLine(text="post_0 = FusedMovingAvgObsFakeQuantize[post_0](x)", layer="x"),
        GraphLine(text="conv2d = aten.conv2d.default(post_0, post_1, None, padding='same')", layer="conv"),
        GraphLine(text="post_2 = FusedMovingAvgObsFakeQuantize[post_2](conv2d)", layer="conv"),
        GraphLine(text="return (post_2,)"),
    ),
    first_differing=4,
)
FX = GraphText(
    pipeline="fx",
    lines=(
        GraphLine(text="x = input", layer="x"),
        GraphLine(text="post_0 = FusedMovingAvgObsFakeQuantize[post_0](x)", layer="x"),
        GraphLine(text="conv = Conv2d[conv](post_0)", layer="conv"),
        GraphLine(text="post_1 = FusedMovingAvgObsFakeQuantize[post_1](conv)", layer="conv"),
        GraphLine(text="return post_1"),
    ),
    first_differing=2,
)
FIRST = Divergence(
    at="prepare", layer="conv", op="Conv2d", value="computed", within_tolerance=False, sentence="They part at conv."
)


def apart(**changes: object) -> Diagnosis:
    """x is equal, conv differs by half a step, and relu by two."""
    point = make_point(
        first=FIRST,
        layers=(
            make_layer("x", op="input"),
            make_layer(
                "conv", status="diverged", max_abs=0.00255, max_steps=0.5, left_sqnr_db=44.0, right_sqnr_db=42.0
            ),
            make_layer("relu", op="ReLU", status="diverged", max_abs=0.01, max_steps=2.0),
        ),
        parameters=(
            ParameterRow(
                tensor="conv",
                status="differs",
                left=make_parameters(scale_min=0.5, scale_max=0.5),
                right=make_parameters(scale_min=0.25, scale_max=0.25),
                differing=("scale",),
            ),
            ParameterRow(tensor="conv.weight", status="left_only", left=make_parameters()),
            ParameterRow(tensor="x", status="same", left=make_parameters(), right=make_parameters()),
        ),
        codes=(),
        graphs=(PT2E, FX),
        sqnr_db={"pt2e": 33.9, "fx": 33.0},
        nearer="pt2e",
    )
    found = make_diagnosis(first=FIRST, points=(point,), nearer="pt2e", nearer_because="pt2e is closer")
    return replace(found, **changes)  # type: ignore[arg-type]  # fields of a diagnosis


def hostile_diagnosis(text: str) -> Diagnosis:
    """A diagnosis in which every name is hostile, and lines of graphs are."""
    first = replace(FIRST, layer=text, op=text, covers=(text,))
    rows = (make_layer(text, op=text, status="diverged", max_abs=float("nan"), covers=(text,), left_node=text),)
    graphs = tuple(
        replace(
            graph, pipeline=text, lines=(*(replace(line, layer=text) for line in graph.lines), GraphLine(text=text))
        )
        for graph in (PT2E, FX)
    )
    point = make_point(
        first=first,
        layers=rows,
        graphs=graphs,
        parameters=(
            ParameterRow(
                tensor=text,
                status="differs",
                left=make_parameters(observer=text, dtype=text, qscheme=text),
                right=make_parameters(scale_min=float("inf")),
                differing=(text,),
            ),
        ),
    )
    return make_diagnosis(left=text, right=text, first=first, points=(point,), nearer=text, notes=(text,))
