"""Quantizers: presets by name, declared specs compiled for every pipeline that can express them."""

from __future__ import annotations

import typing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from qatrix.claims import DEFAULT_PIPELINES, PipelineName
from qatrix.declare.spec import QuantizerSpec, TensorSpec
from qatrix.errors import Source
from qatrix.pipelines import PIPELINES, backend, pt2e, torchenv
from qatrix.pipelines import fx as fx_pipeline
from qatrix.pipelines.annotation import DeclaredAnnotation
from qatrix.pipelines.observers import constructor
from support.cases import shipped_cases, written_cases

pytestmark = pytest.mark.torch
SOURCE = Source(file="quantizers.yaml", line=1, column=1)
INT8 = TensorSpec(
    dtype="int8",
    quant_min=-127,
    quant_max=127,
    qscheme="per_tensor_symmetric",
    ch_axis=None,
    observer=None,
    fake_quantize=None,
    eps=None,
    source=SOURCE,
)
PER_CHANNEL = replace(INT8, qscheme="per_channel_symmetric", ch_axis=0)


def declared(*annotate: str, **fields: object) -> QuantizerSpec:
    values: dict[str, object] = {
        "name": "written",
        "about": "",
        "mode": "ptq",
        "pt2e": None,
        "fx": None,
        "annotate": annotate,
        "activation": INT8,
        "weight": INT8,
        "bias": None,
        "shared": (),
        "phases": (),
        "source": SOURCE,
    }
    return QuantizerSpec(**{**values, **fields})  # type: ignore[arg-type]  # one dict of all fields


def exported(model: nn.Module, *inputs: torch.Tensor) -> fx.GraphModule:
    captured = torchenv.capture(model.eval(), inputs, dynamic_batch=False)()
    assert isinstance(captured, fx.GraphModule)
    return captured


def annotated(spec: QuantizerSpec, module: fx.GraphModule) -> dict[str, tuple[int, bool]]:
    """Which nodes are annotated: how many of their inputs, and whether their output."""
    DeclaredAnnotation(spec, torchenv.pt2e_api()).annotate(module)
    found = {node.name: node.meta.get("quantization_annotation") for node in module.graph.nodes}
    return {
        name: (len(item.input_qspec_map), item.output_qspec is not None)
        for name, item in found.items()
        if item is not None
    }


def test_the_dict_names_the_pipelines_of_the_language() -> None:
    assert list(PIPELINES) == list(typing.get_args(PipelineName))
    assert all(PIPELINES[name].missing() is None for name in DEFAULT_PIPELINES)


@pytest.mark.parametrize(
    ("mode", "spec", "made"),
    [
        pytest.param("ptq", INT8, "MinMaxObserver", id="ptq"),
        pytest.param("ptq", PER_CHANNEL, "PerChannelMinMaxObserver", id="ptq per channel"),
        pytest.param("ptq", replace(INT8, observer="histogram"), "HistogramObserver", id="named observer"),
        pytest.param("dynamic", INT8, "PlaceholderObserver", id="dynamic"),
        pytest.param("qat", INT8, "FusedMovingAvgObsFakeQuantize", id="qat"),
        pytest.param("qat", replace(INT8, fake_quantize="default"), "FakeQuantize", id="qat default"),
        pytest.param(
            "qat",
            replace(INT8, fake_quantize="default", observer="min_max"),
            "FakeQuantize",
            id="qat default, named observer",
        ),
    ],
)
@pytest.mark.parametrize("ranged", [False, True], ids=["for pt2e", "for fx"])
def test_a_tensor_spec_makes_the_observer_that_it_names(mode: str, spec: TensorSpec, made: str, ranged: bool) -> None:
    make = constructor(spec, mode, torch.ao.quantization, dtype=torch.qint8, ranged=ranged)  # type: ignore[arg-type]  # mode is one of the literals

    assert type(make()).__name__ == made


def test_per_channel_training_observes_moving_averages_on_the_declared_axis() -> None:
    spec = replace(PER_CHANNEL, ch_axis=1, eps=2**-12)
    fake_quantize = constructor(spec, "qat", torch.ao.quantization, dtype=torch.qint8, ranged=True)()
    observer = fake_quantize.activation_post_process

    assert type(observer).__name__ == "MovingAveragePerChannelMinMaxObserver"
    assert (observer.ch_axis, float(observer.eps)) == (1, 2**-12)


def test_the_longest_declared_chain_is_annotated() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 3))
    found = annotated(declared("conv", "conv_relu"), exported(model, torch.randn(1, 3, 7, 7)))

    assert found == {"conv2d": (2, False), "relu": (0, True), "conv2d_1": (2, True)}


def test_a_chain_that_branches_is_left_alone() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.linear(x)
            out: torch.Tensor = torch.relu(y) + y
            return out

    module = exported(Branching(), torch.randn(2, 3))

    assert annotated(declared("linear_relu"), module) == {}
    assert annotated(declared("add"), module) == {"add": (2, True)}


def test_skipped_module_types_are_left_alone() -> None:
    module = exported(nn.Sequential(nn.Linear(3, 3)), torch.randn(2, 3))
    DeclaredAnnotation(declared("linear"), torchenv.pt2e_api(), ("Linear",)).annotate(module)

    assert not any("quantization_annotation" in node.meta for node in module.graph.nodes)


def test_shared_ops_share_one_spec_between_inputs_and_output() -> None:
    class Cat(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return torch.cat((x, y))

    module = exported(Cat(), torch.randn(2), torch.randn(2))
    DeclaredAnnotation(declared("cat", shared=("cat",)), torchenv.pt2e_api()).annotate(module)
    (node,) = (node for node in module.graph.nodes if "quantization_annotation" in node.meta)
    annotation = node.meta["quantization_annotation"]
    first, second = annotation.input_qspec_map.values()

    assert type(first).__name__ == "QuantizationSpec"
    assert second.edge_or_node == (node.args[0][0], node)
    assert annotation.output_qspec == second


def test_a_declared_quantizer_quantizes_a_linear_layer_alike_in_both_pipelines(tmp_path: Path) -> None:
    text = """
quantizers:
  written:
    mode: ptq
    annotate: [linear]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine, observer: min_max}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0}
suites: {written: {axes: {pattern: two_linear, quantizer: written}}}
"""
    from qatrix.execute.case import run_case

    (case,) = written_cases(tmp_path, text)
    record = run_case(case)

    assert (record.verdict, record.summary) == ("exact", "equal to the bit, every check holds")
    assert {item.quantize_ops for item in record.pipelines.values()} == {3}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param(shipped_cases("conv_bn_bias_derived_qspec/*")[0].quantizer, "leaves biases in float", id="bias"),
        pytest.param(
            declared("linear", weight=replace(INT8, dtype="int16")), "no quantized tensor of dtype int16", id="int16"
        ),
        pytest.param(declared("sub"), "no backend pattern here for sub", id="op"),
        pytest.param(declared(), "declares no fx preset", id="nothing for fx"),
    ],
)
def test_what_fx_cannot_express_has_a_reason(spec: QuantizerSpec, reason: str) -> None:
    assert reason in str(fx_pipeline.inexpressible(spec))


def test_a_phase_that_fx_cannot_express_is_the_reason_for_all() -> None:
    case, *_ = shipped_cases("mixing_qat_ptq/*")
    assert fx_pipeline.inexpressible(case.quantizer) is None

    first, *rest = case.quantizer.phases
    phases = (replace(first, quantizer=declared("sub")), *rest)
    assert "sub" in str(fx_pipeline.inexpressible(replace(case.quantizer, phases=phases)))


def test_a_quantizer_without_a_preset_for_pt2e_has_a_reason() -> None:
    assert pt2e.PIPELINE.inexpressible(declared()) == "quantizer 'written' declares no pt2e preset"
    assert pt2e.PIPELINE.inexpressible(declared("conv")) is None


def test_the_backend_config_holds_the_declared_chains_and_what_they_fold_to() -> None:
    config = backend.backend_config(declared("conv_bn"))
    patterns = {str(item.pattern) for item in config.configs}

    assert "<class 'torch.nn.modules.conv.Conv2d'>" in patterns
    assert any("BatchNorm2d" in text for text in patterns)
    assert not any("relu" in text.lower() for text in patterns)
