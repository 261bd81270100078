"""Quantizers: presets by name, declared specs compiled for every pipeline that can express them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from qatrix import ways
from qatrix.claims import DEFAULT_PIPELINES
from qatrix.declare.spec import Case, FxPreset, Mode, Pt2ePreset, QuantizerSpec, TensorSpec
from qatrix.errors import Source
from qatrix.pipelines import PIPELINES, backend, pt2e, torchenv
from qatrix.pipelines import fx as fx_pipeline
from qatrix.pipelines.annotation import DeclaredAnnotation
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.observers import constructor
from qatrix.quantizers import BUILT_IN, BuiltIn
from support.cases import shipped_cases, written_cases

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]
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
    captured = torchenv.capture(model.eval(), Inputs(inputs), dynamic_batch=False)()
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


def test_built_in_pipelines_are_those_of_the_table() -> None:
    assert list(PIPELINES) == list(ways.BUILT_IN)
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


@pytest.mark.parametrize("ranged", [False, True], ids=["for pt2e", "for fx"])
def test_training_by_what_comes_averages_nothing(ranged: bool) -> None:
    spec = replace(INT8, dynamic=True)
    fake_quantize = constructor(spec, "qat", torch.ao.quantization, dtype=torch.qint8, ranged=ranged)()

    assert type(fake_quantize).__name__ == "FakeQuantize"
    assert fake_quantize.activation_post_process.averaging_constant == 1
    assert fake_quantize.is_dynamic is ranged, "PT2E is told by its own spec"


def test_an_observer_is_told_how_it_averages_and_what_it_leaves_out() -> None:
    spec = replace(INT8, averaging_constant=0.5, reduce_range=True)
    observer = constructor(spec, "qat", torch.ao.quantization, dtype=torch.qint8, ranged=True)().activation_post_process

    assert (observer.averaging_constant, observer.reduce_range) == (0.5, True)
    assert (observer.quant_min, observer.quant_max) == (INT8.quant_min // 2, INT8.quant_max // 2)


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

    assert (record.verdict, record.summary) == ("exact", "bit-identical, and every check holds")
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
        pytest.param(
            declared("conv", "add", shared=("add",)), "FX graph mode gives add scales of its own", id="shared add"
        ),
        pytest.param(declared("conv", "cat"), "shares the scales of cat", id="cat that is not shared"),
    ],
)
def test_what_fx_cannot_express_has_a_reason(spec: QuantizerSpec, reason: str) -> None:
    assert reason in str(fx_pipeline.inexpressible(spec))


def test_fx_expresses_a_concatenation_whose_scales_are_shared() -> None:
    assert fx_pipeline.inexpressible(declared("conv", "cat", shared=("cat",))) is None


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


FIXED = replace(INT8, dtype="uint8", quant_min=0, quant_max=255, qscheme="per_tensor_affine", scale=0.25, zero_point=3)


@pytest.mark.parametrize(
    ("mode", "kind"), [("ptq", "FixedQParamsObserver"), ("qat", "FixedQParamsFakeQuantize")], ids=["ptq", "qat"]
)
def test_a_fixed_scale_makes_what_observes_nothing(mode: Mode, kind: str) -> None:
    made = constructor(FIXED, mode, torch.ao.quantization, dtype=torch.quint8, ranged=True)()
    made(torch.randn(100) * 1000)
    scale, zero_point = made.calculate_qparams()

    assert type(made).__name__ == kind
    assert (float(scale), int(zero_point)) == (0.25, 3)
    assert (made.dtype, made.quant_min, made.quant_max) == (torch.quint8, 0, 255)


def test_the_zero_point_of_a_fixed_scale_is_zero_by_default() -> None:
    made = constructor(replace(FIXED, zero_point=None), "ptq", torch.ao.quantization, dtype=torch.quint8)()

    assert int(made.calculate_qparams()[1]) == 0


def programs(case: Case, name: str) -> tuple[list[typing.Any], fx.GraphModule]:
    """What observes in the program that a pipeline prepares of a case, after its forward pass; the converted program."""
    pipeline, inputs = PIPELINES[name], build_inputs(case)
    trains = case.quantizer.mode == "qat"
    captured = pipeline.capture(build_model(case).train(trains), inputs, dynamic_batch=False)()
    prepared = pipeline.prepare(captured, inputs, case.quantizer, skip_modules=())
    prepared(*inputs.args)
    # Convert takes them out of the program.
    observers = [item for item in prepared.modules() if hasattr(item, "calculate_qparams")]
    if trains:
        pipeline.to_eval(prepared)
    converted = pipeline.convert(prepared, case.quantizer)
    assert isinstance(converted, fx.GraphModule)
    return observers, converted


def parameters_of(module: typing.Any) -> tuple[float, int]:
    scale, zero_point = module.calculate_qparams()
    return float(scale), int(zero_point)


def called(converted: fx.GraphModule, op: str) -> list[tuple[object, ...]]:
    """The arguments behind the tensor of each call of an op of quantization."""
    return [
        node.args[1:] for node in converted.graph.nodes if str(node.target).startswith(f"quantized_decomposed.{op}")
    ]


@pytest.mark.parametrize("name", DEFAULT_PIPELINES)
@pytest.mark.parametrize("mode", ["qat", "ptq"])
def test_a_fixed_scale_is_the_same_in_both_pipelines_after_prepare_and_convert(
    name: str, mode: Mode, tmp_path: Path
) -> None:
    text = f"""
quantizers:
  written:
    mode: {mode}
    annotate: [conv, conv_bn_relu]
    activation: {{dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, scale: 0.25, zero_point: 3}}
    weight: {{dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric, scale: 0.0625}}
suites: {{written: {{axes: {{pattern: conv_bn_relu, dim: 2, quantizer: written}}}}}}
"""
    (case,) = written_cases(tmp_path, text)
    observers, converted = programs(case, name)
    kept = [parameters_of(item) for item in observers]

    assert set(kept) <= {(0.25, 3), (0.0625, 0)}
    assert kept.count((0.25, 3)) == (4 if mode == "qat" else 2), "a fake quantize has an observer inside"
    assert called(converted, "quantize_per_tensor") == [(0.25, 3, 0, 255, torch.uint8)] * 2
    weight = reference_weight(converted) if name == "fx" else called(converted, "dequantize_per_tensor")
    assert (0.0625, 0, -127, 127, torch.int8) in weight


def reference_weight(converted: fx.GraphModule) -> list[tuple[object, ...]]:
    """Scale, zero point and range of the weights that FX graph mode keeps in its reference modules."""
    modules: list[typing.Any] = [item for item in converted.modules() if hasattr(item, "weight_scale")]
    return [
        (
            float(item.weight_scale),
            int(item.weight_zero_point),
            item.weight_quant_min,
            item.weight_quant_max,
            torch.int8,
        )
        for item in modules
    ]


def test_a_case_with_fixed_scales_is_exact() -> None:
    from qatrix.execute.case import run_case

    case, *_ = shipped_cases("fixed_scales/conv/dim=2*_ptq*")

    assert run_case(case).verdict == "exact"


def module_of(known: BuiltIn) -> typing.Any:
    try:
        return torchenv.pt2e_api().quantizer_module(known)
    except torchenv.PackageMissing as error:
        if known.package is None:
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("name", [name for name, known in BUILT_IN.items() if known.configuration is not None])
def test_every_built_in_quantizer_has_its_configuration_beside_it(name: str) -> None:
    known = BUILT_IN[name]
    arguments = inspect.signature(getattr(module_of(known), str(known.configuration))).parameters

    assert {*known.arguments} <= arguments.keys()


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_quantizer_has_the_methods_that_it_is_said_to_have(name: str) -> None:
    known = BUILT_IN[name]
    made = getattr(module_of(known), known.class_name)()

    assert hasattr(made, "set_global") == (known.configuration is not None)
    for method in (known.by_type, known.by_name):
        assert method is None or callable(getattr(made, method))
    assert known.names is None or getattr(made, known.names) == {}


@pytest.mark.parametrize("name", [name for name, known in BUILT_IN.items() if known.types is not None])
def test_every_built_in_quantizer_knows_the_classes_that_it_is_said_to_know(name: str) -> None:
    known = BUILT_IN[name]
    made = getattr(module_of(known), known.class_name)()
    for kind in known.types or ():
        getattr(made, str(known.by_type))(getattr(nn, kind), None)
    classes = {kind for kind in made.module_function_to_aten_operator_type if isinstance(kind, type)}

    assert {kind.__name__ for kind in classes} == {*(known.types or ())}
    assert len(made.operator_type_qconfig) == len(known.types or ())


@pytest.mark.parametrize("name", [name for name, known in BUILT_IN.items() if known.per_channel is not None])
def test_every_built_in_quantizer_has_as_many_weight_scales_as_it_is_said_to_have(name: str) -> None:
    known = BUILT_IN[name]
    preset = Pt2ePreset(quantizer=name, config={})
    model, inputs = (
        (nn.Embedding(20, 4), (torch.arange(3),))
        if known.claims["ptq"] == ()
        else (nn.Sequential(nn.Linear(8, 4)), (torch.randn(2, 8),))
    )
    spec = declared(pt2e=preset, activation=None, weight=None)
    converted = converted_of(
        pt2e.PIPELINE.prepare(exported(model, *inputs), Inputs(inputs), spec, skip_modules=()), spec, inputs
    )

    assert len(called(converted, "dequantize_per_channel")) == (1 if known.per_channel else 0)


@pytest.mark.parametrize(
    "skip_modules", [pytest.param((), id="nothing skipped"), pytest.param(("Linear",), id="linear layers skipped")]
)
@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(Pt2ePreset(quantizer="XNNPACKQuantizer", config={"is_per_channel": True}), id="XNNPACK"),
        pytest.param(Pt2ePreset(quantizer="X86InductorQuantizer", config={"reduce_range": True}), id="x86"),
    ],
)
def test_a_preset_quantizes_all_but_the_modules_that_it_is_to_skip(
    preset: Pt2ePreset, skip_modules: tuple[str, ...]
) -> None:
    module = exported(nn.Sequential(nn.Conv2d(3, 3, 3), nn.Flatten(), nn.Linear(27, 3)), torch.randn(1, 3, 5, 5))
    spec = declared(pt2e=preset)
    inputs = (torch.randn(1, 3, 5, 5),)
    converted = converted_of(
        pt2e.PIPELINE.prepare(module, Inputs(inputs), spec, skip_modules=skip_modules), spec, inputs
    )

    assert len(called(converted, "dequantize_per_channel")) == (1 if skip_modules else 2)


def converted_of(prepared: nn.Module, spec: QuantizerSpec, inputs: tuple[torch.Tensor, ...]) -> fx.GraphModule:
    prepared(*inputs)
    converted = pt2e.PIPELINE.convert(prepared, spec)
    assert isinstance(converted, fx.GraphModule)
    return converted


@pytest.mark.parametrize(
    ("mode", "observer"),
    [("qat", "FusedMovingAvgObsFakeQuantize"), ("ptq", "HistogramObserver")],
    ids=["qat", "ptq"],
)
def test_fx_takes_the_default_mapping_of_a_backend_in_the_mode_of_the_quantizer(mode: Mode, observer: str) -> None:
    preset = FxPreset(backend_config="x86", qconfig_mapping="x86")
    mapping = backend.qconfig_mapping(declared(mode=mode, fx=preset))
    plain = backend.qconfig_mapping(declared(mode=mode, fx=FxPreset(backend_config="x86", qconfig="default_qconfig")))

    assert mapping.global_qconfig is not None
    assert type(mapping.global_qconfig.activation()).__name__ == observer
    # Beside the one for all ops it has those of ops whose scale is fixed, such as sigmoid.
    assert mapping.object_type_qconfigs
    assert not plain.object_type_qconfigs


def test_the_backend_config_of_x86_is_found_in_its_own_module() -> None:
    preset = FxPreset(backend_config="x86", qconfig_mapping="x86")

    assert backend.backend_config(declared(fx=preset)).name == "x86"


@pytest.mark.parametrize("name", DEFAULT_PIPELINES)
def test_an_x86_preset_leaves_one_bit_of_activations_unused_where_it_is_told(name: str) -> None:
    case, *_ = shipped_cases("x86/conv_relu/*_qat*")
    _, converted = programs(case, name)

    assert {args[2:] for args in called(converted, "quantize_per_tensor")} == {(0, 127, torch.uint8)}


DYNAMIC: Mapping[str, tuple[int, int, torch.dtype]] = {
    "int8_dynamic": (-128, 127, torch.int8),
    "uint8_dynamic": (0, 255, torch.uint8),
}


@pytest.mark.parametrize("name", DEFAULT_PIPELINES)
@pytest.mark.parametrize("quantizer", DYNAMIC)
def test_a_declared_dynamic_quantizer_leaves_outputs_in_float_in_both_pipelines(name: str, quantizer: str) -> None:
    (case,) = shipped_cases(f"linear_dynamic_declared/two_linear/*={quantizer},*")
    _, converted = programs(case, name)
    low, high, dtype = DYNAMIC[quantizer]
    quantized = called(converted, "quantize_per_tensor")
    chosen = called(converted, "choose_qparams")

    assert [args[-3:] for args in quantized] == [(low, high, dtype)] * 2, "the inputs of two layers, and no output"
    assert [(args[0], args[1], args[-1]) for args in chosen] == [(low, high, dtype)] * 2, "in every forward pass"
    (output,) = next(node for node in converted.graph.nodes if node.op == "output").all_input_nodes
    assert "quantize" not in str(output.target)
    assert converted(*build_inputs(case).args).dtype == torch.float32


def test_declared_dynamic_activations_are_observed_by_placeholders_and_weights_by_their_range() -> None:
    (case,) = shipped_cases("linear_dynamic_declared/one_linear/*=int8_dynamic,*")
    observers, _ = programs(case, "pt2e")

    assert {type(item).__name__ for item in observers} == {"PlaceholderObserver", "PerChannelMinMaxObserver"}
