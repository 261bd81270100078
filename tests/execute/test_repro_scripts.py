"""Scripts of real cases, each run in a process of its own: they print their records' figures, to the bit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.options import Execution
from qatrix.execute.workers import torch_ready
from qatrix.outcomes import Record
from qatrix.pipelines.torchenv import environment
from qatrix.report.repro import expected_lines, figure_lines, needed_package, same_lines, script_text
from qatrix.resources import folder
from support.cases import shipped_cases, source_of, written_cases
from support.warm import Ended, run_alone, run_warm

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.torch, pytest.mark.slow]

# Presets and declared quantizers, errors, trained programs, phases, filled parameters, dtypes, free batch axes.
SPREAD = (
    "conv_bn_bias_derived_qspec/*dim=1*",
    "conv_transpose_numerics/conv_bn/*dim=1*per_channel*",
    "shared_qspec/*",
    "ptq/conv_relu/dim=2*per_channel*",
    "linear_dynamic/*",
    "mixing_qat_ptq_numerics/*",
    "training_batch_norms_frozen/linear_bn/*",
    "x86/conv_relu/*_qat*",
    "x86_dynamic/one_linear/*",
    "fixed_scales/conv_relu/*_qat*",
    "linear_dynamic_declared/linear_relu/*=uint8_dynamic*",
    "batch_norms_wide/conv_bn_relu_gamma/dim=2,*per_channel_ptq*",
    "bfloat16/conv_bn_relu/*_ptq*",
    "dynamic_batches_ptq/two_linear/*",
    "capture/shared_conv/*capture=non_strict,*x86*",
    "capture/two_conv_one_relu/*capture=non_strict,*x86*",
    "lifecycle/conv_bn_relu/*lifecycle=save_load,*",
    "lifecycle/conv_bn_relu/*lifecycle=state_dict,*",
    "lifecycle/conv_bn_relu/*lifecycle=repeat,*",
    "lifecycle_training/linear_dropout/*lifecycle=checkpoint,*",
    "lifecycle_training/linear_dropout/*lifecycle=deepcopy,*",
    "lifecycle_training/linear_dropout/*lifecycle=average,*",
    "lifecycle_training/linear_dropout/*lifecycle=eval_and_train,*",
    "lifecycle_dynamic/linear_relu/*lifecycle=deepcopy,*",
    "weights_in_the_graph/conv_bn_relu/dim=1,*_qat,*",
    "integer_arithmetic/one_linear/*per_tensor_ptq,*",
    "integer_arithmetic/two_linear/*per_tensor_ptq,*",
    "same_specs/conv_bn_relu/dim=1,*_qat,*",
    "dynamic_qat/linear_relu/*xnnpack*,train_steps=2,*",
    "dynamic_qat/one_linear/*=int8_dynamic_qat,train_steps=0,*",
    "single_ops/branches_add/*",
    "groups/linear_relu/*",
    "single_ops/conv_bn_sigmoid/*",
)
# Of these, one after training and one in training are run by a Python that has imported nothing before. Neither has a
# batch norm: for one torchao exports all its patterns, and tests of the pattern cache hold these equal to the remembered.
ALONE = ("ptq/conv_relu/dim=2*per_channel*", "x86/conv_relu/*_qat*")


@pytest.fixture(scope="module", autouse=True)
def run() -> Iterator[Callable[..., Record]]:
    """What runs a case, with the patterns of PT2E memoised, and with one thread."""
    threads = torch.get_num_threads()
    with torch_ready(Execution(diagnose="never")) as ready:
        yield ready
    torch.set_num_threads(threads)


# Names that hide torch's, Python's and the script's own, in every role.
NASTY = """
patterns:
  f:
    about: "a\\0b"
    params: {operator: 3}
    layers: {torch: "Linear(operator, 3)", print: none(), F: ReLU()}
    forward:
      - "warnings = torch(math)"
      - "model = print(warnings)"
      - "super, nn = torch.chunk(model, 2, 0)"
      - "return F.relu(F(torch.cat((super, nn), 0)) + math * 0.5)"
    inputs: {math: {shape: [2, 3]}}
  none:
    layers: {copy: "Linear(3, 3)"}
    forward: ["forward = copy(inputs)", "return forward"]
    inputs: {inputs: {shape: [2, 3]}}
suites: {written: {axes: {pattern: f, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""


def test_a_script_prints_the_same_whatever_names_are_declared(run: Callable[..., Record], tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, NASTY)
    record = run(case)

    assert record.comparisons
    assert_shown(case, record, tmp_path, run_warm)


@pytest.mark.parametrize("glob", SPREAD)
def test_a_script_prints_the_figures_of_its_record(glob: str, run: Callable[..., Record], tmp_path: Path) -> None:
    case = shipped_cases(glob)[0]
    assert_shown(case, run(case), tmp_path, run_alone if glob in ALONE else run_warm)


METHOD = """
patterns:
  written:
    model: support.own_models.Net.small
    args: {width: 3}
    inputs: {x: {shape: [8, 4]}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""


def test_a_model_that_a_method_of_its_class_makes_runs_in_the_script_too(
    run: Callable[..., Record], tmp_path: Path
) -> None:
    path = tmp_path / "method.yaml"
    path.write_text(METHOD)
    loaded = load([path, folder("matrix") / "quantizers.yaml"], allowed_modules=("support",))
    assert loaded.matrix is not None
    (case,) = select(loaded.matrix, Selection()).cases
    record = run(case)
    text = script_text(source_of(case), environment=environment(), record=record)

    assert record.verdict == "exact", record.summary
    assert "import support.own_models\n" in text
    assert_shown(case, record, tmp_path, run_warm, path=[str(ROOT / "tests"), *sys.path])


FREE_AXES = """
patterns:
  written:
    layers: {linear: "Linear(8, 4)"}
    forward: ["return linear(x) * scale + more['bias']"]
    inputs:
      x: {shape: [2, 6, 8]}
      more: {dict: {bias: {shape: [4]}}}
      scale: {shape: [2, 6, 1], by: keyword}
    dynamic: {x: {0: rows, 1: class}, scale: {0: rows, 1: class}}
suites: {written: {axes: {pattern: written, quantizer: [mixed, xnnpack_int8_per_tensor_ptq], dynamic_batch: [true, false]}}}
quantizers:
  mixed: {phases: [{quantizer: xnnpack_int8_per_tensor_ptq, submodules: [linear]}]}
"""


@pytest.mark.parametrize("axes", ["mixed,dynamic_batch=true", "*_ptq,dynamic_batch=true", "*_ptq,dynamic_batch=false"])
def test_a_script_leaves_the_same_axes_free(axes: str, run: Callable[..., Record], tmp_path: Path) -> None:
    (case,) = written_cases(tmp_path, FREE_AXES, f"written/written/quantizer={axes},*")
    record = run(case)
    text = script_text(source_of(case), environment=environment(), record=record)

    assert 'class_size = torch.export.Dim("class")' in text
    assert_shown(case, record, tmp_path, run_warm)


FOLDER = """
patterns:
  written:
    layers: {linear: "Linear(4, 4)"}
    forward: ["return linear(x) + y"]
    inputs: {x: {from: data, key: x, batch: 2}, y: {from: data, key: y, shape: [2, 4]}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""


def test_a_script_reads_a_folder_of_data_in_the_order_of_its_names(run: Callable[..., Record], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number, kind in enumerate(("pth", "npz", "safetensors", "pt")):
        tensors = {name: torch.randn(4, 4) * (number + 1) for name in ("x", "y")}
        path = tmp_path / "data" / f"{9 - number}.{kind}"
        if kind == "npz":
            np.savez(path, x=tensors["x"].numpy(), y=tensors["y"].numpy())
        elif kind == "safetensors":
            save_file(tensors, path)
        else:
            torch.save(tensors, path)
    (tmp_path / "data" / "README").write_text("no tensors")
    (case,) = written_cases(tmp_path, FOLDER)

    assert_shown(case, run(case), tmp_path, run_warm)


OWN_TENSORS = """
patterns:
  inner:
    params: {width: 6}
    parameters: {weight: {shape: [width, width]}}
    forward: ["return F.linear(x, weight)"]
    inputs: {x: {shape: [2, 6]}}
  written:
    parameters:
      kernel: {shape: [6, 3, 3, 3], values: {normal: [0, 0.2], outlier: {channel: 1, axis: 0, factor: 20}}}
      bias: {shape: [6], values: {constant: 0.5}}
    buffers: {offset: {shape: [], values: {constant: 1}}, scale: {shape: [1], values: {uniform: [0.5, 2]}}}
    layers: {part: inner(), pool: AdaptiveAvgPool2d(1)}
    forward:
      - self_ = pool(F.conv2d(weight=kernel, input=x, bias=bias, stride=2)).flatten(1)
      - return part(self_) * scale + offset
    inputs: {x: {shape: [2, 3, 7, 7]}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""


def test_a_script_has_the_parameters_and_buffers_of_the_model_itself(
    run: Callable[..., Record], tmp_path: Path
) -> None:
    (case,) = written_cases(tmp_path, OWN_TENSORS)
    record = run(case)
    text = script_text(source_of(case), environment=environment(), record=record)

    assert {name: item.status for name, item in record.pipelines.items()} == {"pt2e": "ok", "fx": "ok"}
    assert 'self.register_buffer("offset", torch.full((), 1).to(torch.float32))' in text
    assert_shown(case, record, tmp_path, run_warm)


# Quantizers of one's own and of a package beside PyTorch's: each is imported from where it is.
OWN_QUANTIZERS = """
patterns:
  linear:
    layers: {a: "Linear(4, 4)", support: "Linear(4, 4)"}
    forward: ["return support(a(x))"]
    inputs: {x: {shape: [8, 4]}}
quantizers:
  direct: {mode: ptq, pt2e: {quantizer: support.own_quantizers.Linear, config: {bits: 4}}}
  configured:
    mode: ptq
    pt2e:
      quantizer: support.own_quantizers.made
      config_from: support.own_quantizers.config
      config: {bits: 3}
  mixed:
    phases: [{quantizer: direct, submodules: [a]}, {quantizer: configured, submodules: [support]}]
  failing: {mode: ptq, pt2e: {quantizer: support.own_quantizers.Raises}}
  executorch: {mode: ptq, pt2e: {quantizer: executorch.XNNPACKQuantizer, config: {is_per_channel: true}}}
suites:
  s: {axes: {pattern: linear, quantizer: [mixed, failing, executorch]}}
"""
NEEDED = {"mixed": "support", "failing": "support", "executorch": "executorch"}


@pytest.mark.parametrize("quantizer", NEEDED)
def test_a_script_imports_its_quantizer_from_where_it_is(
    quantizer: str, run: Callable[..., Record], tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN_QUANTIZERS)
    loaded = load([path], allowed_modules=("support",))
    assert loaded.matrix is not None
    (case,) = select(loaded.matrix, Selection(cases=(f"s/linear/quantizer={quantizer},*",))).cases
    record = run(case)
    if record.verdict == "unavailable":
        pytest.skip(record.summary)
    text = script_text(source_of(case), environment=environment(), record=record)

    assert needed_package(text) == NEEDED[quantizer]
    assert "qatrix." not in "".join(line for line in text.splitlines() if line.startswith(("import", "from")))
    assert_shown(case, record, tmp_path, run_warm, path=[str(ROOT / "tests"), *sys.path])


# Parts that a script finds in the model, and quantizers that are composed of what it defines.
PARTS = """
patterns:
  written:
    layers: {one: "Linear(4, 4)", act: ReLU(), other: "Linear(4, 4)", embedding: "Embedding(9, 4)"}
    forward: ["return other(act(one(embedding(x))))"]
    inputs: {x: {shape: [8, 3], dtype: int64}}
quantizers:
  by_part:
    mode: ptq
    pt2e: {quantizer: XNNPACKQuantizer, modules: {other: float, "o{n,x}*": {is_per_channel: true}}, types: {ReLU: float}}
    fx:
      backend_config: qnnpack
      qconfig: default_symmetric_qnnpack_qconfig
      modules: {"*[t]her": float, one: default_per_channel_symmetric_qnnpack_qconfig}
  spelled_out:
    mode: ptq
    fx:
      backend_config: fbgemm
      qconfig: default_qconfig
      modules:
        "*[t]her":
          activation: {dtype: uint8, quant_min: 0, quant_max: 255, qscheme: per_tensor_affine, reduce_range: true}
          weight: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0, observer: moving_average_per_channel_min_max, averaging_constant: 0.5}
      types: {ReLU: float}
  own_ops:
    mode: qat
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine, reduce_range: true}
    ops:
      - op: aten.embedding.default
        inputs: {weight: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0}}
        output: float
      - {op: aten.relu.default, inputs: {self: activation}, output: {shared_with: self}, implicit_sharing: false}
      - {op: aten.linear.default, output: activation}
  embeddings: {mode: ptq, pt2e: {quantizer: EmbeddingQuantizer}}
  linears:
    mode: ptq
    annotate: [linear]
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_tensor_symmetric}
  wide_linears:
    mode: ptq
    annotate: [linear_relu]
    activation: {dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}
    weight: {dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0}
  composed: {mode: ptq, pt2e: {compose: [embeddings, wide_linears, linears]}}
suites:
  s: {axes: {pattern: written, quantizer: [by_part, composed, spelled_out, own_ops]}}
"""


@pytest.mark.parametrize(
    ("quantizer", "pipeline"),
    [("by_part", "pt2e"), ("composed", "pt2e"), ("spelled_out", "fx"), ("own_ops", "pt2e")],
)
def test_a_script_treats_parts_of_the_model_unlike_the_rest(
    quantizer: str, pipeline: str, run: Callable[..., Record], tmp_path: Path
) -> None:
    (case,) = written_cases(tmp_path, PARTS, f"s/written/quantizer={quantizer},*")
    record = run(case)

    assert record.pipelines[pipeline].status == "ok", record.summary
    assert_shown(case, record, tmp_path, run_warm)


OWN = """
patterns:
  written:
    layers: {{c: "Conv2d(3, 4, 3)", b: BatchNorm2d(4)}}
    forward: ["return F.relu(b(c(p['x'][0]))) + y"]
    inputs:
      p: {{dict: {{x: {{tuple: [{{shape: [2, 3, 6, 6], memory_format: channels_last, values: {{outlier: {{channel: 1, factor: 9}}}}}}]}}}}}}
      y: {{shape: [2, 4, 4, 4], by: keyword, values: {{uniform: [-1, 2]}}}}
suites: {{written: {{axes: {{pattern: written, quantizer: xnnpack_int8_per_tensor_{mode}, calibration_batches: {count}}}}}}}
"""


@pytest.mark.parametrize(("mode", "count"), [("qat", 3), ("ptq", 0), ("ptq", 1)])
def test_a_script_makes_nested_inputs_and_several_batches(
    mode: str, count: int, run: Callable[..., Record], tmp_path: Path
) -> None:
    (case,) = written_cases(tmp_path, OWN.format(mode=mode, count=count))
    record = run(case)

    assert record.comparisons, record.summary
    assert_shown(case, record, tmp_path, run_warm)


FILES = """
patterns:
  written:
    model: torch.nn.Linear
    args: {in_features: 4, out_features: 3}
    weights: weights.pt
    inputs: {input: {from: rows.npz, key: rows, batch: 2}}
suites: {written: {axes: {pattern: written, quantizer: xnnpack_int8_per_tensor_ptq}}}
"""


def test_a_script_reads_the_files_of_its_case(run: Callable[..., Record], tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(4, 3).state_dict(), tmp_path / "weights.pt")
    np.savez(tmp_path / "rows.npz", rows=np.linspace(-3, 5, 24, dtype="float32").reshape(6, 4))
    (case,) = written_cases(tmp_path, FILES)
    record = run(case)

    assert record.comparisons, record.summary
    assert_shown(case, record, tmp_path, run_warm)


def assert_shown(
    case: Case, record: Record, tmp_path: Path, run: Callable[[Path, Sequence[str]], Ended], path: Sequence[str] = ()
) -> None:
    """The case's script, run by itself, prints the record's figures; `path` is where it finds modules of the user's."""
    script = tmp_path / "repro.py"
    script.write_text(script_text(source_of(case), environment=environment(), record=record))
    ended = run(script, path)

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert same_lines(figure_lines(ended.stdout), expected_lines(record)), ended.stdout
