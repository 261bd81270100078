"""Models: declarations become torch modules, and weights and inputs depend on the case's seed alone."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from qatrix.arithmetic import OutOfBounds
from qatrix.declare.source.models import model_source
from qatrix.declare.source.names import Names
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.models import build_model
from support.cases import factory_case, shipped_cases, written_cases

SUITE = """
suites:
  written:
    axes:
      pattern: {pattern}
      quantizer: xnnpack_int8_per_tensor_qat
{axes}
"""
PATTERN = """
patterns:
  written:
    params: {{width: 4}}
    layers: {layers}
    forward: {forward}
    inputs: {inputs}
"""


def built(tmp_path: Path, *, layers: str, forward: str, inputs: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The model and inputs of a pattern that is written in the test."""
    text = PATTERN.format(layers=layers, forward=forward, inputs=inputs) + SUITE.format(pattern="written", axes="")
    (case,) = written_cases(tmp_path, text)
    return build_model(case), build_inputs(case).args


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("kind", ["conv", "conv_transpose", "grouped", "depthwise", "dilated", "strided"])
def test_every_conv_kind_builds_and_runs_at_every_dim(tmp_path: Path, kind: str, dim: int) -> None:
    axes = f"      conv: {kind}\n      dim: {dim}\n"
    (case,) = written_cases(tmp_path, SUITE.format(pattern="conv_bn_relu", axes=axes))
    model, inputs = build_model(case), build_inputs(case).args

    expected = getattr(nn, f"ConvTranspose{dim}d" if kind == "conv_transpose" else f"Conv{dim}d")
    assert type(model.get_submodule("conv")) is expected
    assert inputs[0].shape == (1, 3, *[5] * dim)
    assert model(*inputs).ndim == dim + 2


@pytest.mark.parametrize(
    ("kind", "attribute", "value"),
    [
        ("grouped", "groups", 3),
        ("depthwise", "groups", 3),
        ("dilated", "dilation", (2, 2)),
        ("strided", "stride", (2, 2)),
    ],
)
def test_a_conv_kind_is_what_its_declaration_says(tmp_path: Path, kind: str, attribute: str, value: object) -> None:
    axes = f"      conv: {kind}\n      dim: 2\n"
    (case,) = written_cases(tmp_path, SUITE.format(pattern="conv", axes=axes))

    assert getattr(build_model(case).get_submodule("conv"), attribute) == value


def test_weights_and_inputs_do_not_depend_on_quantizer_order_or_random_state() -> None:
    first, second, *_ = shipped_cases("conv_bn_fusion/*dim=2*")
    model, inputs = build_model(first), build_inputs(first).args
    torch.manual_seed(12345)
    torch.rand(7)
    again, inputs_again = build_model(second), build_inputs(second).args

    assert first.quantizer != second.quantizer
    assert all(
        torch.equal(left, right) for left, right in zip(model.state_dict().values(), again.state_dict().values())
    )
    assert torch.equal(inputs[0], inputs_again[0])


def test_another_parameter_means_other_weights() -> None:
    plain, *_ = shipped_cases("conv_bn_fusion/*dim=2*")
    strided, *_ = shipped_cases("conv_bn_fusion_literal_args/*dim=2*")

    assert plain.seed != strided.seed
    assert not torch.equal(
        build_model(plain).get_parameter("conv.weight"), build_model(strided).get_parameter("conv.weight")
    )


def test_patterns_compose() -> None:
    case, *_ = shipped_cases("preserve_source_fn_stack/*dim=2*")
    model = build_model(case)

    assert model.get_submodule("conv").in_channels == 5
    assert model.get_submodule("backbone.conv").in_channels == 3
    assert model(*build_inputs(case).args).shape == (1, 3, 6, 6)


def test_a_factory_makes_the_model() -> None:
    case, *_ = shipped_cases("mobilenet_v2/*")

    assert type(build_model(case)).__name__ == "MobileNetV2"
    assert build_model(case).training


def test_several_inputs_and_structured_outputs(tmp_path: Path) -> None:
    model, inputs = built(
        tmp_path,
        layers="{a: 'Linear(width, width)', e: 'Embedding(8, width)'}",
        forward="['y, z = torch.chunk(a(x), 2, dim=-1)', 'w = e(i)', 'return {\"sum\": y + z, \"all\": (y, [z, w])}']",
        inputs="{x: {shape: [2, width]}, i: {shape: [3], dtype: int64}}",
    )
    out = model(*inputs)

    assert set(out) == {"sum", "all"}
    assert torch.equal(out["sum"], out["all"][0] + out["all"][1][0])
    assert out["all"][1][1].shape == (3, 4)
    assert inputs[1].dtype == torch.int64


def test_the_language_reaches_methods_slices_in_place_and_dtypes(tmp_path: Path) -> None:
    model, (x,) = built(
        tmp_path,
        layers="{a: 'Linear(width * 2, width)'}",
        forward="['y = a(x)', 'y *= 2', 'y = y[:, 1:width - 1].relu()', 'y = torch.cat((y, torch.zeros(2, 1)), 1)',"
        " 'return -y.to(torch.float64) @ y.to(torch.float64).transpose(0, 1)']",
        inputs="{x: {shape: [2, 2 * width]}}",
    )
    y = (model.get_submodule("a")(x) * 2)[:, 1:3].relu()
    y = torch.cat((y, torch.zeros(2, 1)), 1).double()

    assert torch.equal(model(x), -y @ y.T)


def test_an_input_may_be_boolean(tmp_path: Path) -> None:
    model, (x, mask) = built(
        tmp_path,
        layers="{a: 'Linear(width, width)'}",
        forward="['return torch.where(m, a(x), x)']",
        inputs="{x: {shape: [2, width]}, m: {shape: [2, width], dtype: bool}}",
    )

    assert mask.dtype == torch.bool
    assert model(x, mask).shape == (2, 4)


def test_a_factory_that_makes_no_module_is_refused(tmp_path: Path) -> None:
    text = "patterns: {written: {model: torch.Size, inputs: {x: {shape: [1]}}}}\n" + SUITE.format(
        pattern="written", axes=""
    )
    (case,) = written_cases(tmp_path, text)

    with pytest.raises(TypeError, match=r"torch\.Size made a Size, not a torch\.nn\.Module"):
        build_model(case)


FILLED = """
patterns:
  inner:
    params: {scale: 2.0}
    layers: {conv: "Conv2d(3, 4, 1)", bn: BatchNorm2d(4)}
    init: {bn.weight: scale / 4, bn.running_var: 9, conv.bias: -0.25}
    forward: [return bn(conv(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
  outer:
    params: {slope: 0.125}
    layers: {first: inner(scale=3.0), second: "Conv2d(4, 4, 1)", act: PReLU()}
    init: {act.weight: slope, first.conv.bias: slope + 1}
    forward: [return act(second(first(x)))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
"""


def filled(tmp_path: Path, pattern: str, text: str = FILLED) -> nn.Module:
    (case,) = written_cases(tmp_path, text + SUITE.format(pattern=pattern, axes=""))
    return build_model(case)


def test_init_fills_parameters_and_buffers(tmp_path: Path) -> None:
    state = filled(tmp_path, "inner").state_dict()

    assert state["bn.weight"].tolist() == [0.5] * 4
    assert state["bn.running_var"].tolist() == [9.0] * 4
    assert state["conv.bias"].tolist() == [-0.25] * 4
    assert state["bn.bias"].tolist() == [0.0] * 4, "what is not filled is as it always is"
    assert all(item.requires_grad for item in filled(tmp_path, "inner").parameters())


def test_init_fills_what_is_inside_of_a_composed_pattern_last(tmp_path: Path) -> None:
    state = filled(tmp_path, "outer").state_dict()

    assert state["first.bn.weight"].tolist() == [0.75] * 4, "the inner pattern, with the parameter of its call"
    assert state["first.conv.bias"].tolist() == [1.125] * 4, "the outer pattern, after the inner one"
    assert state["act.weight"].tolist() == [0.125]


def test_init_leaves_the_random_weights_of_other_layers_alone(tmp_path: Path) -> None:
    found = filled(tmp_path, "outer").state_dict()
    lines = [line for line in FILLED.splitlines() if "init:" not in line]
    plain = filled(tmp_path, "outer", "\n".join(lines)).state_dict()

    same = {name for name in found if torch.equal(found[name], plain[name])}
    assert {"first.conv.weight", "second.weight", "second.bias"} <= same
    assert found.keys() - same == {"first.bn.weight", "first.bn.running_var", "first.conv.bias", "act.weight"}


def test_init_may_name_the_case_s_dim(tmp_path: Path) -> None:
    text = FILLED.replace("scale / 4", "1 / 2 ** dim")
    (case,) = written_cases(tmp_path, text + SUITE.format(pattern="inner", axes="      dim: 3\n"))

    assert build_model(case).get_parameter("bn.weight").tolist() == [0.125] * 4


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("bn.gamma", id="no such parameter"),
        pytest.param("conv.bn.weight", id="no such submodule"),
        pytest.param("bn.eps", id="no tensor"),
    ],
)
def test_a_path_that_the_model_does_not_have_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match=f"^init: the model has no parameter or buffer '{path}'$"):
        filled(tmp_path, "inner", FILLED.replace("bn.weight", path))


def test_what_a_layer_is_made_without_cannot_be_filled(tmp_path: Path) -> None:
    text = FILLED.replace("Conv2d(3, 4, 1)", "Conv2d(3, 4, 1, bias=False)")
    with pytest.raises(ValueError, match=r"no parameter or buffer 'conv\.bias'"):
        filled(tmp_path, "inner", text)


KINDS = """
patterns:
  written:
    layers: {table: "Embedding(8, 4)", linear: "Linear(4, 4)", bn: BatchNorm1d(4)}
    forward: ["return (bn(linear(table(i) + x)), torch.where(m, y, -y))"]
    inputs:
      i: {shape: [3], dtype: int64}
      x: {shape: [3, 4]}
      y: {shape: [3, 4], dtype: float64}
      m: {shape: [3, 4], dtype: bool}
"""


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_a_dtype_is_that_of_parameters_and_inputs_of_float32_whose_values_are_cast(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    name = str(dtype).removeprefix("torch.")
    plain, other = written_cases(
        tmp_path, KINDS + SUITE.format(pattern="written", axes=f"      dtype: [float32, {name}]\n")
    )
    model, inputs = build_model(other), build_inputs(other).args

    for key, value in build_model(plain).state_dict().items():
        expected = value.to(dtype) if value.is_floating_point() else value
        found = model.state_dict()[key]
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected), key
    assert [item.dtype for item in inputs] == [torch.int64, dtype, torch.float64, torch.bool]
    i, x, y, m = build_inputs(plain).args
    assert all(torch.equal(found, due) for found, due in zip(inputs, (i, x.to(dtype), y, m)))
    assert [item.dtype for item in model(*inputs)] == [dtype, torch.float64]


def test_a_model_of_a_factory_is_cast_too(tmp_path: Path) -> None:
    text = "patterns: {written: {model: torch.nn.PReLU, inputs: {x: {shape: [2]}}}}\n" + SUITE.format(
        pattern="written", axes="      dtype: float16\n"
    )
    (case,) = written_cases(tmp_path, text)

    assert build_model(case)(*build_inputs(case).args).dtype == torch.float16


@pytest.mark.parametrize(
    ("layer", "line", "value"),
    [
        pytest.param("Linear(9 ** n, 3)", "return a(x)", "9999999999", id="a power in a layer"),
        pytest.param("Linear(n * 9999999999, 3)", "return a(x)", "9999999999", id="a product in a layer"),
        pytest.param("Linear(4, 3)", "return a(x) + 9 ** n", "9999999999", id="a power in a line"),
        pytest.param("Linear(4, 3)", "return a(x) + n * 99999999999", "aaaa", id="a text many times"),
        pytest.param("Linear(4, 3)", "return a(x), (1, 2) * n", "99999999999", id="a tuple many times"),
        pytest.param("Linear(4, 3)", "return [a(x)] * n", "99999999999", id="a list of tensors many times"),
    ],
)
def test_values_of_an_axis_that_are_out_of_bounds_end_a_model_and_its_source_at_once(
    tmp_path: Path, layer: str, line: str, value: str
) -> None:
    text = (
        "patterns:\n  written:\n    params: {n: 1}\n"
        f"    layers: {{a: '{layer}'}}\n    forward: ['{line}']\n    inputs: {{x: {{shape: [2, 4]}}}}\n"
    ) + SUITE.format(pattern="written", axes=f"      n: [{value}]\n")
    (case,) = written_cases(tmp_path, text)

    started = time.process_time()
    with pytest.raises(OutOfBounds):
        build_model(case)
    assert time.process_time() - started < 1


def test_the_source_of_a_power_without_bounds_is_not_written(tmp_path: Path) -> None:
    text = (
        "patterns: {written: {params: {n: 1}, layers: {a: ReLU()}, forward: ['return a(x) + 9 ** n'],"
        " inputs: {x: {shape: [2]}}}}\n"
    ) + SUITE.format(pattern="written", axes="      n: [9999999999]\n")
    (case,) = written_cases(tmp_path, text)

    with pytest.raises(OutOfBounds):
        model_source(case, Names(frozenset()))


def test_a_list_of_tensors_is_repeated_and_joined(tmp_path: Path) -> None:
    text = (
        "patterns: {written: {layers: {a: ReLU()}, forward: ['y = [a(x)] * 2 + [x]', 'return torch.cat(y)'],"
        " inputs: {x: {shape: [2]}}}}\n"
    ) + SUITE.format(pattern="written", axes="")
    (case,) = written_cases(tmp_path, text)
    (x,) = build_inputs(case).args

    assert torch.equal(build_model(case)(x), torch.cat([x.relu(), x.relu(), x]))


def factory_model(factory: str) -> nn.Module:
    """The model of a case that names this factory."""
    return build_model(factory_case(factory, [2, 4], "xnnpack_int8_per_channel_ptq"))


NOT_FOUND = (
    "^No module named 'mymodels'; install it, or run with PYTHONPATH=. because the current folder is not searched$"
)


@pytest.mark.parametrize("factory", ["mymodels.build", "mymodels.nets.build"])
def test_a_package_that_is_not_found_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch, factory: str) -> None:
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in {"", str(Path.cwd())}])

    with pytest.raises(ModuleNotFoundError, match=NOT_FOUND):
        factory_model(factory)


def test_nothing_is_said_of_the_current_folder_where_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path.cwd())

    with pytest.raises(
        ModuleNotFoundError, match=r"^No module named 'mymodels'; install it, or change to the folder that has it$"
    ):
        factory_model("mymodels.build")


def test_what_a_package_itself_does_not_find_is_told_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needy.py").write_text("import not_installed_here")
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'not_installed_here'$"):
        factory_model("needy.build")
