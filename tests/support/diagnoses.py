"""A diagnosis for tests: three layers, of which the second is the first to differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qatrix.diagnoses import (
    Cause,
    CodeBin,
    CodeRow,
    Diagnosis,
    Divergence,
    GraphLine,
    GraphText,
    LayerRow,
    ParameterRow,
    Parameters,
    PointDiagnosis,
)

HOSTILE = "<script>alert('x')</script>\u202e" + "long " * 200


def make_layer(layer: str, **changes: Any) -> LayerRow:
    """A layer whose values are equal in both programs."""
    default = LayerRow(
        layer=layer,
        op="Conv2d",
        value="computed",
        status="exact",
        max_abs=0.0,
        left_sqnr_db=40.0,
        right_sqnr_db=40.0,
    )
    return replace(default, **changes)


def make_parameters(**changes: Any) -> Parameters:
    """Eight bits, per tensor."""
    default = Parameters(
        node="fake_quantize (post_1)",
        observer="MinMaxObserver",
        dtype="int8",
        qscheme="per_tensor_affine",
        quant_min=-128,
        quant_max=127,
        scale_min=0.5,
        scale_max=0.5,
        zero_point_min=3,
        zero_point_max=3,
    )
    return replace(default, **changes)


FIRST = Divergence(
    at="prepare", layer="bn", op="BatchNorm2d", value="computed", within_tolerance=False, sentence="They part at bn."
)


def make_point(**changes: Any) -> PointDiagnosis:
    """Three layers after prepare, three tensors, one tensor of codes, two graphs."""
    wide = make_parameters(channels=4, ch_axis=0, scale_min=0.25, scale_max=0.75, qscheme="per_channel_symmetric")
    default = PointDiagnosis(
        at="prepare",
        first=FIRST,
        layers=(
            make_layer("conv", left_sqnr_db=float("inf"), right_sqnr_db=float("inf")),
            make_layer("bn", status="diverged", max_abs=0.25, max_steps=2.0, right_sqnr_db=9.0, covers=("conv",)),
            make_layer("relu", value="quantized", status="left_only", right_sqnr_db=None, note="fx passes it on"),
        ),
        parameters=(
            ParameterRow(
                tensor="bn",
                status="differs",
                left=make_parameters(),
                right=make_parameters(),
                differing=("scale",),
                worst_channel=2,
                left_scale=0.5,
                right_scale=0.125,
            ),
            ParameterRow(tensor="relu", status="left_only", left=wide),
            ParameterRow(tensor="x", status="same", left=make_parameters(), right=make_parameters()),
        ),
        codes=(
            CodeRow(
                tensor="bn",
                total=100,
                different=7,
                max_difference=1,
                histogram=(CodeBin(low=1, high=1, count=7),),
                from_ties=4,
                from_clamping=3,
            ),
        ),
        graphs=(
            GraphText(pipeline="pt2e", lines=(GraphLine(text="y = conv(x)"), GraphLine(text="z = bn(y)")), first_differing=1),
            GraphText(pipeline="fx", lines=(GraphLine(text="z = conv_bn(x)"),)),
        ),
    )  # fmt: skip
    return replace(default, **changes)


def make_diagnosis(**changes: Any) -> Diagnosis:
    """pt2e and fx part at bn; pt2e is nearer; one cause is known and one is not."""
    default = Diagnosis(
        left="pt2e",
        right="fx",
        first=FIRST,
        nearer="pt2e",
        nearer_because="pt2e SQNR 36.0 dB, fx SQNR 9.0 dB",
        causes=(
            Cause(
                name="batch_norm_eps_replaced",
                kind="defect",
                sentence="pt2e replaces eps",
                layer="bn",
                evidence=("the graph has 1e-05, the model 0.1",),
                explains_first=True,
            ),
            Cause(name="unexplained", kind="unexplained", sentence="nothing known explains relu"),
        ),
        points=(make_point(),),
        notes=("two nodes belong to no layer",),
        seconds=0.25,
    )
    return replace(default, **changes)
