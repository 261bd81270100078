"""Cases as source: classes, inputs and quantizers, as one would write them by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from qatrix.declare.source.presets import composed, fx_preset, pt2e_preset
from qatrix.declare.spec import Case, FxPreset, Part, Pt2ePreset, Registration
from qatrix.scripts import CaseSource, QuantizerSource
from support import specs
from support.cases import shipped_cases, source_of, written_cases

FILLED = """
patterns:
  inner:
    params: {scale: 2.0}
    layers: {conv: "Conv2d(3, 4, 1)", bn: BatchNorm2d(4)}
    init: {bn.weight: scale / 4, bn.running_var: 9, conv.bias: 1 / dim}
    forward: [return bn(conv(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
  outer:
    params: {slope: 0.125}
    layers: {first: inner(scale=3.0), act: PReLU()}
    init: {act.weight: slope, first.conv.bias: -slope}
    forward: [return act(first(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}, y: {shape: [2], dtype: float64}, i: {shape: [3], dtype: int64}}
suites:
  written:
    axes: {pattern: outer, dim: 2, dtype: [float32, bfloat16], quantizer: xnnpack_int8_per_tensor_ptq}
"""


def filled(tmp_path: Path) -> tuple[Case, Case]:
    plain, other = written_cases(tmp_path, FILLED)
    return plain, other


def fills(text: str) -> list[str]:
    """The lines of a class that fill something."""
    return [line.strip() for line in text.splitlines() if "nn.init" in line]


def test_what_fills_parameters_stands_behind_the_layers_in_its_order(tmp_path: Path) -> None:
    inner, outer = source_of(filled(tmp_path)[0]).classes

    assert fills(inner) == [
        "nn.init.constant_(self.bn.weight, 0.75)",
        "nn.init.constant_(self.bn.running_var, 9)",
        "nn.init.constant_(self.conv.bias, 0.5)",
    ]
    assert fills(outer) == [
        "nn.init.constant_(self.act.weight, 0.125)",
        "nn.init.constant_(self.first.conv.bias, -0.125)",
    ]
    assert outer.index("self.act = nn.PReLU()") < outer.index("nn.init") < outer.index("def forward")


def test_the_same_pattern_filled_with_another_number_is_another_class(tmp_path: Path) -> None:
    text = """
patterns:
  twin:
    params: {bias: 0.0}
    layers: {linear: "Linear(4, 4)"}
    init: {linear.bias: bias}
    forward: [return linear(x)]
    inputs: {x: {shape: [2, 4]}}
  three:
    layers: {first: twin(bias=1.0), second: twin(bias=2.0), third: twin(bias=1.0)}
    forward: [return third(second(first(x)))]
    inputs: {x: {shape: [2, 4]}}
suites: {written: {axes: {pattern: three, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""
    (case,) = written_cases(tmp_path, text)
    *twins, three = source_of(case).classes

    assert [fills(twin) for twin in twins] == [
        ["nn.init.constant_(self.linear.bias, 1.0)"],
        ["nn.init.constant_(self.linear.bias, 2.0)"],
    ]
    assert [line.strip() for line in three.splitlines() if "= Twin" in line] == [
        "self.first = Twin()",
        "self.second = Twin2()",
        "self.third = Twin()",
    ]


def test_a_dtype_casts_the_model_and_inputs_of_float32(tmp_path: Path) -> None:
    plain, other = map(source_of, filled(tmp_path))

    assert (plain.model, other.model) == ("Outer()", "Outer().to(torch.bfloat16)")
    assert plain.classes == other.classes
    assert plain.inputs.args[0] == "torch.randn(2, 3, 4, 4)"
    assert other.inputs.args[0] == "torch.randn(2, 3, 4, 4).to(torch.bfloat16)"
    assert (
        plain.inputs.args[1:]
        == other.inputs.args[1:]
        == ("torch.randn(2).to(torch.float64)", "torch.randint(0, 8, (3,))")
    )


def test_a_dtype_casts_the_model_of_a_factory(tmp_path: Path) -> None:
    text = """
patterns: {written: {model: torch.nn.PReLU, args: {init: 0.5}, inputs: {x: {shape: [2]}}}}
suites: {written: {axes: {pattern: written, dtype: float16, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""
    (case,) = written_cases(tmp_path, text)

    assert source_of(case).model == "torch.nn.PReLU(init=0.5).to(torch.float16)"


@pytest.mark.torch
def test_the_source_makes_the_models_and_inputs_that_the_runner_makes(tmp_path: Path) -> None:
    import torch

    from qatrix.pipelines.batches import build_inputs
    from qatrix.pipelines.models import build_model

    for case in filled(tmp_path):
        source = source_of(case)
        names = {"torch": torch, "nn": torch.nn}
        exec("\n".join(source.classes), names)
        torch.manual_seed(source.seed)
        model = eval(source.model, names)
        torch.manual_seed(source.seed)
        inputs = [eval(text, names) for text in source.inputs.args]

        expected = build_model(case).state_dict()
        assert expected.keys() == model.state_dict().keys()
        for name, found in model.state_dict().items():
            assert found.dtype == expected[name].dtype
            assert torch.equal(found, expected[name]), name
        for found, due in zip(inputs, build_inputs(case).args):
            assert found.dtype == due.dtype
            assert torch.equal(found, due)


def lines_of(glob: str, pipeline: str) -> list[str]:
    """The lines that make a shipped case's quantizer, without those that its class takes."""
    (phase,) = shipped_source(glob).phases
    return list(phase.quantizers[pipeline].lines)


def shipped_source(glob: str) -> CaseSource:
    return source_of(shipped_cases(glob)[0])


@pytest.mark.parametrize(
    ("glob", "configuration", "mapping"),
    [
        pytest.param(
            "x86/conv/*_qat*", "reduce_range=True, is_qat=True", 'get_default_qat_qconfig_mapping("x86")', id="qat"
        ),
        pytest.param("x86/conv/*_ptq*", "reduce_range=True", 'get_default_qconfig_mapping("x86")', id="ptq"),
        pytest.param(
            "x86_dynamic/*",
            "is_dynamic=True",
            "QConfigMapping().set_global(per_channel_dynamic_qconfig)",
            id="dynamic",
        ),
    ],
)
def test_a_preset_of_x86_is_configured_by_its_own_function(glob: str, configuration: str, mapping: str) -> None:
    made = "".join(line.strip() for line in lines_of(glob, "pt2e")).replace(",)", ")")

    assert made == (
        f"quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config({configuration}))"
    )
    assert lines_of(glob, "fx") == [f"qconfigs = {mapping}", "backend_config = get_x86_backend_config()"]


def test_each_quantizer_is_told_in_its_own_way_what_to_skip(tmp_path: Path) -> None:
    text = """
quantizers:
  two_rounds:
    phases:
      - {quantizer: xnnpack_int8_per_tensor_ptq, skip_modules: [Linear]}
      - {quantizer: x86_int8_ptq, skip_modules: [Linear]}
suites: {written: {axes: {pattern: two_linear, quantizer: two_rounds}}}
"""
    (case,) = written_cases(tmp_path, text)
    xnnpack, x86 = source_of(case).phases

    assert "quantizer.set_module_type(nn.Linear, None)" in xnnpack.quantizers["pt2e"].lines
    assert "quantizer.set_module_type_qconfig(nn.Linear, None)" in x86.quantizers["pt2e"].lines
    assert x86.quantizers["fx"].lines[1] == "qconfigs.set_object_type(nn.Linear, None)"


PLUG_IN = Registration(name="Mine", module="mine.deep", attribute="Mine.made", distribution="my-dist", version="2.0")
EXECUTORCH = "executorch.backends.xnnpack.quantizer.xnnpack_quantizer"
OWN = "run it with PYTHONPATH set to the folder that holds it"


@pytest.mark.parametrize(
    ("preset", "skipped", "lines", "needs"),
    [
        pytest.param(
            Pt2ePreset(quantizer="a.b.Mine", config={"bits": 4, "class": "x"}),
            (),
            ("from a.b import Mine as quantizer_class", 'quantizer = quantizer_class(bits=4, **{"class": "x"})'),
            f"a: {OWN}",
            id="a class of one's own",
        ),
        pytest.param(
            Pt2ePreset(quantizer="model.b.Mine", config={"bits": 4}, config_from="inputs.config"),
            ("Linear",),
            (
                "from model.b import Mine as quantizer_class",
                "from inputs import config as quantizer_config",
                "quantizer = quantizer_class()",
                "quantizer.set_module_type(nn.Linear, None)",
                "quantizer.set_global(quantizer_config(bits=4))",
            ),
            f"inputs: {OWN}",
            id="with a configuration function, and modules to skip",
        ),
        pytest.param(
            Pt2ePreset(quantizer="Mine", config={}, registration=PLUG_IN),
            (),
            ("from mine.deep import Mine as quantizer_class", "quantizer = quantizer_class.made()"),
            "mine: it comes with my-dist 2.0",
            id="a registered class",
        ),
        pytest.param(
            Pt2ePreset(quantizer="executorch.XNNPACKQuantizer", config={"is_qat": True}),
            (),
            (
                f"from {EXECUTORCH} import XNNPACKQuantizer as quantizer_class",
                f"from {EXECUTORCH} import get_symmetric_quantization_config as quantizer_config",
                "quantizer = quantizer_class()",
                "quantizer.set_global(quantizer_config(is_qat=True))",
            ),
            'executorch: pip install "qatrix[executorch]" brings it',
            id="of a package beside PyTorch's",
        ),
        pytest.param(
            Pt2ePreset(
                quantizer="XNNPACKQuantizer",
                config={},
                modules=(
                    Part(name="head", setting=None),
                    Part(name="body", setting={"is_per_channel": True}),
                    Part(name="a.*{b,c}", setting=None),
                ),
                types=(Part(name="Conv2d", setting={"is_per_channel": True}),),
            ),
            ("Linear",),
            (
                "quantizer = XNNPACKQuantizer()",
                "quantizer.set_module_type(nn.Conv2d, get_symmetric_quantization_config(is_per_channel=True))",
                "quantizer.set_module_type(nn.Linear, None)",
                'quantizer.module_name_config["head"] = None',
                'quantizer.set_module_name("body", get_symmetric_quantization_config(is_per_channel=True))',
                "for path, _ in float_model().named_modules(remove_duplicate=False):",
                '    if path and (fnmatch.fnmatchcase(path, "a.*b") or fnmatch.fnmatchcase(path, "a.*c")):',
                "        quantizer.module_name_config[path] = None",
                "quantizer.set_global(get_symmetric_quantization_config())",
            ),
            None,
            id="parts of a model",
        ),
        pytest.param(
            Pt2ePreset(
                quantizer="a.b.Mine",
                config={},
                config_from="a.b.config",
                modules=(Part(name="head", setting=None), Part(name="body", setting={"bits": 4})),
            ),
            (),
            (
                "from a.b import Mine as quantizer_class",
                "from a.b import config as quantizer_config",
                "quantizer = quantizer_class()",
                'quantizer.set_module_name("head", None)',
                'quantizer.set_module_name("body", quantizer_config(bits=4))',
                "quantizer.set_global(quantizer_config())",
            ),
            f"a: {OWN}",
            id="parts, told to a class of one's own",
        ),
        pytest.param(
            Pt2ePreset(
                quantizer="X86InductorQuantizer",
                config={},
                modules=(Part(name="head", setting=None),),
                types=(Part(name="Linear", setting=None),),
            ),
            (),
            (
                "quantizer = X86InductorQuantizer()",
                "quantizer.set_module_type_qconfig(nn.Linear, None)",
                'quantizer.set_module_name_qconfig("head", None)',
                "quantizer.set_global(get_default_x86_inductor_quantization_config())",
            ),
            None,
            id="parts, told to Inductor's",
        ),
        pytest.param(
            Pt2ePreset(quantizer="EmbeddingQuantizer", config={}),
            (),
            ("quantizer = EmbeddingQuantizer()",),
            None,
            id="nothing to configure",
        ),
        pytest.param(
            Pt2ePreset(quantizer="XNNPACKQuantizer", config={"bits": 4}, config_from="a.c.config"),
            (),
            (
                "from a.c import config as quantizer_config",
                "quantizer = XNNPACKQuantizer()",
                "quantizer.set_global(quantizer_config(bits=4))",
            ),
            f"a: {OWN}",
            id="a built-in with a configuration of one's own",
        ),
    ],
)
def test_a_quantizer_class_is_imported_from_where_it_is(
    preset: Pt2ePreset, skipped: tuple[str, ...], lines: tuple[str, ...], needs: str | None
) -> None:
    source = pt2e_preset(preset, skipped)

    assert source.lines == lines
    assert source.needs == needs


def test_fx_is_told_of_parts_after_its_mapping_is_made() -> None:
    preset = FxPreset(
        backend_config="qnnpack",
        qconfig="default_qconfig",
        modules=(Part(name="head", setting=None), Part(name="b*", setting="default_per_channel_qconfig")),
        types=(Part(name="Conv2d", setting=None),),
    )

    assert fx_preset(preset, ("Linear",), specs.quantizer(mode="ptq")).lines == (
        "qconfigs = QConfigMapping().set_global(default_qconfig)",
        "qconfigs.set_object_type(nn.Conv2d, None)",
        "qconfigs.set_object_type(nn.Linear, None)",
        'qconfigs.set_module_name("head", None)',
        "for path, _ in float_model().named_modules(remove_duplicate=False):",
        '    if path and fnmatch.fnmatchcase(path, "b*"):',
        "        qconfigs.set_module_name(path, default_per_channel_qconfig)",
        "backend_config = get_qnnpack_backend_config()",
    )


def test_composed_quantizers_need_all_that_their_members_do() -> None:
    members = [
        QuantizerSource(lines=("quantizer = A()",), needs="a: get it"),
        QuantizerSource(definitions="class B:\n    pass", lines=("quantizer = B()",), needs="b: get it"),
        QuantizerSource(lines=("quantizer = A()",), needs="a: get it"),
    ]
    source = composed(members)

    assert source.needs == "a: get it; b: get it"
    assert (
        source.definitions
        == "def quantizer_2():\n    class B:\n        pass\n\n    quantizer = B()\n    return quantizer"
    )
    assert source.lines == (
        "composed = []",
        "quantizer = A()",
        "composed.append(quantizer)",
        "composed.append(quantizer_2())",
        "quantizer = A()",
        "composed.append(quantizer)",
        "quantizer = ComposableQuantizer(composed)",
    )


def definitions_of(glob: str, pipeline: str) -> str:
    """What a shipped case's quantizer defines, without its layout."""
    (phase,) = shipped_source(glob).phases
    return " ".join(phase.quantizers[pipeline].definitions.split())


def test_a_fixed_scale_is_a_spec_of_its_own_in_pt2e() -> None:
    expected = (
        "ACTIVATION = FixedQParamsQuantizationSpec( dtype=torch.uint8, quant_min=0, quant_max=255, "
        "qscheme=torch.per_tensor_affine, scale=0.03, zero_point=128, )"
    )

    assert expected in definitions_of("fixed_scales/conv/*_qat*", "pt2e")
    assert expected in definitions_of("fixed_scales/conv/*_ptq*", "pt2e")


@pytest.mark.parametrize(
    ("mode", "made"),
    [
        ("qat", "activation=torch.ao.quantization.FixedQParamsFakeQuantize.with_args( observer="),
        ("ptq", "activation="),
    ],
)
def test_a_fixed_scale_is_an_observer_in_fx(mode: str, made: str) -> None:
    observer = "torch.ao.quantization.FixedQParamsObserver.with_args( scale=0.03, zero_point=128, dtype=torch.quint8,"

    assert f"{made}{observer}" in definitions_of(f"fixed_scales/conv/*_{mode}*", "fx")


def test_no_line_of_a_quantizer_is_longer_than_formatters_allow() -> None:
    for pipeline in ("pt2e", "fx"):
        (phase,) = shipped_source("fixed_scales/conv_relu/*_qat*").phases
        assert max(map(len, phase.quantizers[pipeline].definitions.splitlines())) <= 120


def test_activations_that_are_quantized_as_they_come_leave_outputs_in_float() -> None:
    glob = "linear_dynamic_declared/linear_relu/*=int8_dynamic*"
    pt2e, fx = definitions_of(glob, "pt2e"), definitions_of(glob, "fx")

    assert "output_qspec" not in pt2e
    assert "is_dynamic=True, observer_or_fake_quant_ctr=PlaceholderObserver" in pt2e
    assert "observer_or_fake_quant_ctr=PerChannelMinMaxObserver" in pt2e
    assert "output_dtype=torch.float, weight_dtype=torch.qint8, bias_dtype=torch.float, is_dynamic=True" in fx
    assert fx.count("is_dynamic=True") == 2, "of the dtypes and of the activation's placeholder, not of the weight"


def test_a_free_batch_axis_is_one_of_every_phase() -> None:
    assert [phase.dynamic_batch for phase in shipped_source("dynamic_batches/*").phases] == [True]
    assert [phase.dynamic_batch for phase in shipped_source("ptq/*").phases] == [False]
