"""What quantizers say of themselves."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from qatrix.declare.spec import Composition, Mode, Pt2ePreset, QuantizerSpec, TensorSpec
from support import specs

TENSOR = TensorSpec(
    dtype="int8",
    quant_min=-127,
    quant_max=127,
    qscheme="per_tensor_symmetric",
    ch_axis=None,
    observer=None,
    fake_quantize=None,
    eps=None,
    source=specs.source(),
)


def declared(mode: Mode = "qat") -> QuantizerSpec:
    """A declared quantizer whose activation and weight have equal specs."""
    return specs.quantizer(
        mode=mode, pt2e=None, fx=None, annotate=("linear",), activation=replace(TENSOR), weight=replace(TENSOR)
    )


def preset(quantizer: str, **config: bool) -> QuantizerSpec:
    return specs.quantizer(pt2e=Pt2ePreset(quantizer=quantizer, config=config))


def composed(*members: QuantizerSpec) -> QuantizerSpec:
    return specs.quantizer(pt2e=Composition(members=members))


@pytest.mark.parametrize(
    ("quantizer", "per_channel"),
    [
        pytest.param(preset("XNNPACKQuantizer"), False, id="XNNPACK by default"),
        pytest.param(preset("XNNPACKQuantizer", is_per_channel=True), True, id="XNNPACK per channel"),
        pytest.param(preset("XNNPACKQuantizer", is_per_channel=False), False, id="XNNPACK per tensor"),
        pytest.param(preset("X86InductorQuantizer"), True, id="x86 by default"),
        pytest.param(preset("X86InductorQuantizer", is_qat=True, reduce_range=True), True, id="x86 in training"),
        pytest.param(specs.quantizer(pt2e=None), False, id="FX graph mode alone"),
        pytest.param(declared(), False, id="declared per tensor"),
        pytest.param(
            composed(replace(preset("EmbeddingQuantizer"), mode="ptq"), preset("XNNPACKQuantizer")),
            False,
            id="composed, of layers per tensor",
        ),
        pytest.param(composed(declared(), preset("X86InductorQuantizer")), True, id="composed, of one per channel"),
        pytest.param(composed(preset("own.Class", is_per_channel=True)), True, id="composed, of one's own per channel"),
        pytest.param(
            replace(declared(), weight=replace(TENSOR, qscheme="per_channel_symmetric", ch_axis=0)),
            True,
            id="declared per channel",
        ),
    ],
)
def test_a_quantizer_knows_whether_weights_have_a_scale_per_channel(
    quantizer: QuantizerSpec, per_channel: bool
) -> None:
    assert quantizer.per_channel is per_channel


@pytest.mark.parametrize(
    ("mode", "activation", "weight"),
    [("qat", "qat", "qat"), ("ptq", "ptq", "ptq"), ("dynamic", "dynamic", "ptq")],
)
def test_weights_are_observed_beforehand_where_activations_are_quantized_as_they_come(
    mode: Mode, activation: Mode, weight: Mode
) -> None:
    quantizer = declared(mode)
    assert quantizer.activation is not None
    assert quantizer.weight is not None
    assert quantizer.activation == quantizer.weight, "equal specs are told apart"
    assert (quantizer.mode_of(quantizer.activation), quantizer.mode_of(quantizer.weight)) == (activation, weight)


def test_a_worker_tells_activation_and_weight_apart_too() -> None:
    quantizer: QuantizerSpec = pickle.loads(pickle.dumps(declared("dynamic")))
    assert quantizer.activation is not None
    assert quantizer.weight is not None
    assert (quantizer.mode_of(quantizer.activation), quantizer.mode_of(quantizer.weight)) == ("dynamic", "ptq")


@pytest.mark.parametrize(
    ("factory", "own"),
    [
        (None, False),
        ("torchvision.models.resnet18", False),
        ("torchvision_of_mine.resnet18", True),
        ("torch.hub.load", True),
        ("my_package.build", True),
    ],
)
def test_code_of_its_own_is_all_but_what_yaml_and_torchvision_make(factory: str | None, own: bool) -> None:
    assert specs.pattern(factory=factory).runs_own_code == own


def test_a_quantizer_has_the_presets_of_all_that_it_is_made_of() -> None:
    one, other = preset("XNNPACKQuantizer"), preset("own.Class")
    whole = specs.quantizer(pt2e=Composition(members=(one, declared(), other)))

    assert whole.members == (one, declared(), other)
    assert whole.presets == (one.pt2e, other.pt2e)
    assert whole.runs_own_code
    assert not composed(one, declared()).runs_own_code
    assert one.members == (one,)
