from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from qatrix.claims import GraphCheck, Issue, Tolerance
from qatrix.declare.load import Loaded, load
from qatrix.declare.spec import FxPreset, Matrix, Pt2ePreset
from qatrix.expressions import Literal, Name, Operation
from qatrix.resources import folder
from support.problems import as_text

BAD = Path(__file__).parent.parent / "matrix_bad"
FAULTS = sorted(
    path for path in BAD.iterdir() if path.suffix == ".yaml" or (path.is_dir() and path.name[0] not in "_.")
)

PATTERN = """
patterns:
  conv_relu:
    about: convolution, ReLU
    params: {channels: 3, kernel: [3, 3], bias: true, eps: 1.0e-5}
    layers:
      conv: conv(channels, channels, kernel, bias=bias)
      norm: GroupNorm(1, channels, eps=eps)
      relu: ReLU()
    forward:
      - y = norm(conv(x))
      - return relu(y)
    inputs:
      x: {batch: 2, channels: channels, spatial: 5}
"""
QUANTIZER = """
quantizers:
  int8:
    mode: qat
    pt2e: {quantizer: XNNPACKQuantizer, config: {is_per_channel: true, is_qat: true}}
    fx: {backend_config: qnnpack, qconfig: default_symmetric_qnnpack_qat_qconfig}
"""
TENSOR = "{dtype: int8, quant_min: -128, quant_max: 127, qscheme: per_tensor_affine}"


def loaded(tmp_path: Path, *texts: str, allowed_modules: tuple[str, ...] = ("torch",)) -> Loaded:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
    return load([tmp_path], allowed_modules=allowed_modules)


def matrix_of(tmp_path: Path, *texts: str, allowed_modules: tuple[str, ...] = ("torch",)) -> Matrix:
    result = loaded(tmp_path, *texts, allowed_modules=allowed_modules)
    assert as_text(result.problems) == ""
    assert result.matrix is not None
    return result.matrix


@pytest.mark.parametrize("fault", FAULTS, ids=[path.stem for path in FAULTS])
def test_every_fault_has_its_message(fault: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(BAD)
    found = as_text(load([Path("_good"), Path(fault.name)]).problems)
    expected = BAD / f"{fault.stem}.expected.txt"
    actual = tmp_path / expected.name
    actual.write_text(found)
    wanted = expected.read_text() if expected.exists() else ""
    assert found == wanted, f"if the new message is right: cp {actual} {expected}"
    assert found


def test_what_stands_beside_the_faults_is_right() -> None:
    assert load([BAD / "_good"]).problems == ()


def test_the_matrix_of_this_project_is_right() -> None:
    result = load([folder("matrix")])
    assert as_text(result.problems) == ""
    assert result.matrix is not None


def test_every_expectation_of_this_project_names_a_cause_that_speaks_in_sentences() -> None:
    matrix = load([folder("matrix")]).matrix
    assert matrix is not None
    told = {item.cause: item for item in matrix.expectations}
    assert None not in told
    assert len({item.title for item in told.values()}) == len({item.because for item in told.values()}) == len(told)
    assert [key for key, item in told.items() if not str(item.sentence).endswith(".")] == []
    assert [key for key, item in told.items() if not str(item.advice).endswith(".")] == []


def test_a_pattern_of_layers_keeps_what_it_declares(tmp_path: Path) -> None:
    pattern = matrix_of(tmp_path, PATTERN).patterns["conv_relu"]
    assert dict(pattern.params) == {"channels": 3, "kernel": (3, 3), "bias": True, "eps": 1e-5}
    assert [layer.name for layer in pattern.layers] == ["conv", "norm", "relu"]
    assert (pattern.takes_conv, pattern.takes_dim) == (True, True)
    (item,) = pattern.inputs
    assert (item.shape, item.spatial) == ((Literal(2), Name("channels")), Literal(5))
    assert pattern.source.line == 4


@pytest.mark.parametrize(
    ("layers", "forward", "inputs", "takes"),
    [
        pytest.param("ReLU()", "return a(x)", "{shape: [1]}", (False, False), id="neither"),
        pytest.param("BatchNormNd(3)", "return a(x)", "{shape: [1]}", (False, True), id="Nd"),
        pytest.param("Linear(dim, 3)", "return a(x)", "{shape: [1]}", (False, True), id="dim in a layer"),
        pytest.param("ReLU()", "return a(x) * dim", "{shape: [1]}", (False, True), id="dim in forward"),
        pytest.param("ReLU()", "return a(x)", "{shape: [dim]}", (False, True), id="dim in a shape"),
        pytest.param("ReLU()", "return a(x)", "{batch: 1, channels: 1, spatial: 2}", (False, True), id="spatial"),
        pytest.param("conv(1, 1, 1)", "return a(x)", "{shape: [1]}", (True, True), id="conv"),
        pytest.param("conv_relu(bias=False)", "return a(x)", "{shape: [1]}", (True, True), id="composed"),
        pytest.param("spatial()", "return a(x)", "{shape: [1]}", (False, False), id="composed, inputs aside"),
    ],
)
def test_what_a_pattern_takes_is_found_in_its_parts(
    tmp_path: Path, layers: str, forward: str, inputs: str, takes: tuple[bool, bool]
) -> None:
    spatial = (
        "  spatial: {layers: {r: ReLU()}, forward: [return r(x)], inputs: {x: {batch: 1, channels: 1, spatial: 2}}}"
    )
    text = f"{PATTERN}{spatial}\n  p: {{layers: {{a: '{layers}'}}, forward: ['{forward}'], inputs: {{x: {inputs}}}}}\n"
    pattern = matrix_of(tmp_path, text).patterns["p"]
    assert (pattern.takes_conv, pattern.takes_dim) == takes


INIT = """
patterns:
  filled:
    params: {gamma: 0.5}
    layers: {conv: "Conv2d(3, 3, 1)", act: PReLU()}
    init: {conv.weight: 0, act.weight: gamma * 2}
    forward: [return act(conv(x))]
    inputs: {x: {shape: [2, 3, 4, 4]}}
"""


def test_init_keeps_paths_and_expressions_in_their_order(tmp_path: Path) -> None:
    pattern = matrix_of(tmp_path, INIT).patterns["filled"]
    assert [item.path for item in pattern.init] == ["conv.weight", "act.weight"]
    assert [item.value for item in pattern.init] == [Literal(0), Operation("*", (Name("gamma"), Literal(2)))]
    assert [item.source.line for item in pattern.init] == [6, 6]


def test_a_parameter_that_init_alone_uses_is_used(tmp_path: Path) -> None:
    assert loaded(tmp_path, INIT).problems == ()
    unused = loaded(tmp_path, INIT.replace("gamma * 2", "0.25"))
    assert [problem.message for problem in unused.problems] == ["the parameter 'gamma' is never used"]


@pytest.mark.parametrize(
    ("value", "takes"), [("gamma", False), ("1.0 / dim", True)], ids=["a parameter", "the case's dim"]
)
def test_a_pattern_takes_the_dim_that_its_init_names(tmp_path: Path, value: str, takes: bool) -> None:
    outer = "  outer: {layers: {inner: filled()}, forward: [return inner(x)], inputs: {x: {shape: [2, 3, 4, 4]}}}\n"
    patterns = matrix_of(tmp_path, INIT.replace("gamma * 2", value).replace("weight: 0,", "weight: gamma,") + outer)
    assert {name: item.takes_dim for name, item in patterns.patterns.items()} == {"filled": takes, "outer": takes}


def test_a_pattern_may_be_declared_after_the_one_that_holds_it(tmp_path: Path) -> None:
    outer = "patterns:\n  a: {layers: {b: conv_relu(channels=4)}, forward: [return b(x)], inputs: {x: {shape: [1]}}}\n"
    patterns = matrix_of(tmp_path, outer, PATTERN).patterns
    assert patterns["a"].layers[0].pattern is patterns["conv_relu"]


def test_patterns_nested_without_end_are_refused(tmp_path: Path) -> None:
    chain = "".join(
        f"  p{n}: {{layers: {{a: p{n + 1}()}}, forward: [return a(x)], inputs: {{x: {{shape: [1]}}}}}}\n"
        for n in range(900)
    )
    last = "  p900: {layers: {a: ReLU()}, forward: [return a(x)], inputs: {x: {shape: [1]}}}\n"
    result = loaded(tmp_path, f"patterns:\n{chain}{last}")
    assert "more than 30 levels deep" in as_text(result.problems)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("torchvision.models.resnet18", True),
        ("torchvisionx.models.resnet18", False),
        ("os.system", False),
        ("torchvision", False),
        ("mine.models.net", True),
        ("mine.other.net", False),
        ("torchvision.__init__; x", False),
    ],
)
def test_a_factory_comes_from_an_allowed_module_only(tmp_path: Path, path: str, allowed: bool) -> None:
    args = "{weights: null, sizes: [[1, 2], a]}"
    text = f"patterns:\n  p: {{model: '{path}', args: {args}, inputs: {{x: {{shape: [1]}}}}}}\n"
    result = loaded(tmp_path, text, allowed_modules=("torchvision", "mine.models"))
    assert (result.matrix is not None) == allowed
    if result.matrix:
        pattern = result.matrix.patterns["p"]
        assert (pattern.factory, dict(pattern.factory_args)) == (path, {"weights": None, "sizes": ((1, 2), "a")})


def test_plain_convolution_the_cpu_and_float32_need_no_declaration(tmp_path: Path) -> None:
    matrix = matrix_of(tmp_path, PATTERN)
    assert matrix.conv_kinds["conv"].module == "ConvNd"
    assert matrix.devices["cpu"].torch == "cpu"
    assert matrix.tolerances["float32"] == Tolerance()


def test_a_declaration_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    conv = "conv_kinds: {conv: {module: ConvNd, args: {groups: in_channels, bias: false}}}"
    matrix = matrix_of(tmp_path, conv, "tolerances: {float32: {rtol: 1, atol: 0}}")
    assert dict(matrix.conv_kinds["conv"].args) == {"groups": Name("in_channels"), "bias": Literal(False)}
    assert matrix.tolerances["float32"].rtol == 1


def test_a_declared_quantizer_keeps_its_specs(tmp_path: Path) -> None:
    text = f"""
quantizers:
  q:
    mode: ptq
    annotate: [conv_bn, cat]
    shared: [cat]
    activation: {TENSOR}
    weight: {{dtype: int8, quant_min: -127, quant_max: 127, qscheme: per_channel_symmetric, ch_axis: 0, eps: 1.0e-5}}
    bias: {{derived_from: [activation, weight], dtype: int32, quant_min: -9, quant_max: 9, qscheme: per_tensor_affine}}
"""
    spec = matrix_of(tmp_path, text).quantizers["q"]
    assert spec.per_channel
    assert spec.weight is not None
    assert (spec.weight.ch_axis, spec.weight.eps, spec.weight.observer) == (0, 1e-5, None)
    assert spec.bias is not None
    assert spec.bias.derived_from == ("activation", "weight")
    assert (spec.annotate, spec.shared) == (("conv_bn", "cat"), ("cat",))


def test_a_fixed_scale_keeps_its_zero_point(tmp_path: Path) -> None:
    fixed = TENSOR.replace("}", ", scale: 0.25, zero_point: -3}")
    whole = TENSOR.replace("}", ", scale: 1}")
    text = f"quantizers: {{q: {{mode: qat, annotate: [conv], activation: {fixed}, weight: {whole}}}}}\n"
    spec = matrix_of(tmp_path, text).quantizers["q"]
    assert spec.activation is not None
    assert spec.weight is not None
    assert (spec.activation.scale, spec.activation.zero_point) == (0.25, -3)
    assert (spec.weight.scale, spec.weight.zero_point) == (1.0, None)


def test_a_preset_of_x86_keeps_its_mapping_and_has_a_scale_per_channel(tmp_path: Path) -> None:
    text = """
quantizers:
  q:
    mode: ptq
    pt2e: {quantizer: X86InductorQuantizer, config: {reduce_range: true}}
    fx: {backend_config: x86, qconfig_mapping: x86}
"""
    spec = matrix_of(tmp_path, text).quantizers["q"]
    assert spec.pt2e == Pt2ePreset(quantizer="X86InductorQuantizer", config={"reduce_range": True})
    assert spec.fx == FxPreset(backend_config="x86", qconfig=None, qconfig_mapping="x86")
    assert spec.per_channel


def test_the_last_phase_gives_the_mode(tmp_path: Path) -> None:
    later = f"  ptq: {{mode: ptq, annotate: [linear], activation: {TENSOR}, bias: float}}\n"
    phases = """
  two:
    phases:
      - {quantizer: int8, submodules: [a.b], dynamic_batch: true}
      - {quantizer: ptq, skip_modules: [Linear]}
"""
    spec = matrix_of(tmp_path, QUANTIZER + phases + later).quantizers["two"]
    assert spec.mode == "ptq"
    assert [phase.quantizer.name for phase in spec.phases] == ["int8", "ptq"]
    assert (spec.phases[0].submodules, spec.phases[0].dynamic_batch) == (("a.b",), True)


def test_a_suite_keeps_axes_rules_and_checks(tmp_path: Path) -> None:
    text = """
checks:
  c: {at: prepare, params: {relu: false}, graph: [return relu(x)], counts: {conv: 1}, annotations: live}
suites:
  s:
    axes: {pattern: conv_relu, dim: [1, 2], kernel: [[1, 1], 3], quantizer: int8}
    include: [{pattern: conv_relu, dim: 3, bias: [true, false], quantizer: int8}]
    exclude: [{dim: 1, kernel: 3, because: too large}]
    checks: [c, {check: c, where: {dim: [1, 2]}, with: {relu: true}}]
    tolerance: float32
    convert_in: train
    skip: not now
"""
    suite = matrix_of(tmp_path, PATTERN, QUANTIZER, text).suites["s"]
    assert list(suite.axes) == ["pattern", "dim", "kernel", "quantizer"]
    assert suite.axes["kernel"] == ((1, 1), 3)
    assert suite.include[0].values["bias"] == (True, False)
    assert (suite.exclude[0].because, dict(suite.exclude[0].values)) == ("too large", {"dim": (1,), "kernel": (3,)})
    assert (suite.pipelines, suite.compare, suite.skip) == (("pt2e", "fx"), ("prepare", "convert"), "not now")
    first, second = suite.checks
    assert isinstance(first.check, GraphCheck)
    assert dict(first.check.scope) == {"relu": False}
    assert (dict(second.where), dict(second.with_)) == ({"dim": (1, 2)}, {"relu": True})


@pytest.mark.parametrize(
    ("written", "values"),
    [
        pytest.param("", [], id="left out"),
        pytest.param(", quantizes: something", [], id="something"),
        pytest.param(", quantizes: nothing", [{}], id="nothing"),
        pytest.param(
            ", quantizes: {nothing: [{dim: [1, 2]}, {pattern: conv_relu, dim: 3}]}",
            [{"dim": (1, 2)}, {"pattern": ("conv_relu",), "dim": (3,)}],
            id="nothing in some cases",
        ),
    ],
)
def test_a_suite_says_what_quantizes_nothing(tmp_path: Path, written: str, values: list[object]) -> None:
    axes = "{pattern: conv_relu, dim: [1, 2, 3], quantizer: int8}"
    suite = matrix_of(tmp_path, PATTERN, QUANTIZER, f"suites: {{s: {{axes: {axes}{written}}}}}").suites["s"]

    assert [rule.values for rule in suite.nothing] == values


@pytest.mark.parametrize(
    ("beside", "condition", "found"),
    [
        pytest.param([PATTERN], "channels == own and dim == 1", [], id="parameters"),
        pytest.param(
            [PATTERN], "chanels == own", [("nothing captures 'chanels'", "did you mean 'channels'?")], id="typo"
        ),
        pytest.param([], "chanels == own", [], id="no pattern is declared, so that nobody knows"),
        pytest.param(["patterns: {"], "chanels == own", [], id="a file cannot be read, so that nobody knows"),
    ],
)
def test_an_assertion_may_use_the_parameters_of_all_patterns(
    tmp_path: Path, beside: list[str], condition: str, found: list[tuple[str, str]]
) -> None:
    check = f'checks: {{c: {{at: prepare, params: {{own: 1}}, graph: ["assert {condition}"]}}}}'
    problems = [item for item in loaded(tmp_path, check, *beside).problems if item.at == "check 'c', graph line 1"]

    assert [(problem.message, problem.hint) for problem in problems] == found


def test_a_suite_of_one_pipeline_compares_nothing(tmp_path: Path) -> None:
    text = (
        "suites: {s: {axes: {pattern: conv_relu, dim: 1, quantizer: int8}, pipelines: {only: [pt2e], because: graph}}}"
    )
    suite = matrix_of(tmp_path, PATTERN, QUANTIZER, text).suites["s"]
    assert (suite.compare, suite.pipelines_because) == ((), "graph")


def test_an_expectation_keeps_its_conditions(tmp_path: Path) -> None:
    text = """
expected:
  - {cases: 's/*', verdict: failed, because: why, pipeline: fx, stage: prepare, torch: '>=2.5,<2.9', device: cpu}
"""
    (expectation,) = matrix_of(tmp_path, text).expectations
    assert (expectation.torch, expectation.stage, expectation.checks) == (">=2.5,<2.9", "prepare", ())


CAUSE = """
causes:
  no_fusion:
    title: FX graph mode does not fuse
    sentence: The layers run one after the other.
    impact: by_design
    advice: Do nothing.
    because: there is no pattern for it
    issue: {link: 'https://example.org/1', state: open, checked: 2026-11-30}
"""
NAMED = "expected: [{cases: 's/*', verdict: diverged, cause: no_fusion}]"


@pytest.mark.parametrize("texts", [(CAUSE + NAMED,), (NAMED, CAUSE)], ids=["in one file", "declared after its use"])
def test_an_expectation_says_what_its_cause_says(tmp_path: Path, texts: tuple[str, ...]) -> None:
    (expectation,) = matrix_of(tmp_path, *texts).expectations
    assert (expectation.cause, expectation.title) == ("no_fusion", "FX graph mode does not fuse")
    assert (expectation.because, expectation.sentence) == (
        "there is no pattern for it",
        "The layers run one after the other.",
    )
    assert (expectation.impact, expectation.advice) == ("by_design", "Do nothing.")
    assert expectation.issue == Issue(link="https://example.org/1", state="open", checked="2026-11-30")


def test_a_cause_with_an_issue_needs_no_other_link(tmp_path: Path) -> None:
    (expectation,) = matrix_of(tmp_path, CAUSE + NAMED).expectations
    assert expectation.link == "https://example.org/1"


def test_where_something_is_wrong_no_cause_is_called_unused(tmp_path: Path) -> None:
    result = loaded(tmp_path, f"{CAUSE}expected: [{{cases: 's/*', verdict: divergd, cause: no_fusion}}]")
    assert "unused" not in as_text(result.problems)
    assert "divergd" in as_text(result.problems)


def test_a_cause_that_an_unreadable_file_may_declare_is_not_called_unknown(tmp_path: Path) -> None:
    assert "unknown cause" not in as_text(loaded(tmp_path, NAMED, "causes: {no_fusion: [").problems)


def test_an_unused_parameter_is_a_warning(tmp_path: Path) -> None:
    text = "patterns: {p: {params: {spare: 1}, layers: {a: ReLU()}, forward: [return a(x)], inputs: {x: {shape: [1]}}}}"
    result = loaded(tmp_path, text)
    assert result.matrix is not None
    assert [problem.message for problem in result.problems] == ["the parameter 'spare' is never used"]


def test_files_are_shown_as_seen_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.yml").write_text("devices: {d: {torch: cuda}}")
    result = load([tmp_path / "m"])
    assert result.matrix is not None
    assert result.matrix.files == ("m/a.yml",)


def test_a_file_under_two_paths_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("devices: {d: {torch: cuda}}")
    assert load([tmp_path, tmp_path / "a.yaml"]).problems == ()


def test_files_and_folders_with_a_dot_are_left_out(tmp_path: Path) -> None:
    (tmp_path / ".tox").mkdir()
    (tmp_path / ".tox" / "a.yaml").write_text("nonsense: 1")
    (tmp_path / "a.yaml").write_text("devices: {d: {torch: cuda}}")
    assert load([tmp_path]).problems == ()


def test_a_path_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = load([tmp_path / "nowhere"])
    assert result.matrix is None
    assert "is not there" in result.problems[0].message


def test_a_folder_without_yaml_is_a_problem(tmp_path: Path) -> None:
    result = load([tmp_path])
    assert result.matrix is None
    assert "no YAML file is under" in result.problems[0].message


def test_a_loop_of_links_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    assert load([tmp_path]).matrix is None


def test_names_that_an_unreadable_file_may_declare_are_not_called_unknown(tmp_path: Path) -> None:
    result = loaded(tmp_path, "patterns: {", "suites: {s: {axes: {pattern: other, dim: 1, quantizer: q}}}")
    assert [problem.source.file for problem in result.problems if problem.source] == [str(tmp_path / "0.yaml")]


def _loading_seconds(folder: Path, files: int) -> float:
    """The least of three times that loading so many files of four patterns takes."""
    folder.mkdir()
    for number in range(files):
        bodies = "".join(PATTERN.replace("conv_relu", f"p{number}_{n}").partition("patterns:\n")[2] for n in range(4))
        (folder / f"{number}.yaml").write_text(f"patterns:\n{bodies}")
    times = []
    for _ in range(3):
        started = time.perf_counter()
        assert load([folder]).matrix is not None
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.slow
def test_loading_takes_time_in_proportion_to_the_size_of_the_matrix(tmp_path: Path) -> None:
    few, many = _loading_seconds(tmp_path / "few", 10), _loading_seconds(tmp_path / "many", 40)

    assert many / few < 10, "four times the files; sixteen would be the square"


def test_a_link_that_leads_out_of_the_folder_is_neither_read_nor_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("root:x:0:0: secret: words\n")
    folder_ = tmp_path / "matrix"
    folder_.mkdir()
    (folder_ / "x.yaml").symlink_to(tmp_path / "secret")
    found = as_text(load([Path("matrix")]).problems)
    assert found == (
        "matrix/x.yaml:1:1: matrix/x.yaml is a link that leads out of matrix, and is not read\n"
        "    expected a file in the folder\n"
        "    if you trust it, name the file itself as a PATH\n"
    )


def test_links_inside_a_folder_and_folders_that_are_links_are_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.yaml").write_text(PATTERN)
    (tmp_path / "real" / "b.yaml").symlink_to("a.yaml")
    (tmp_path / "matrix").symlink_to("real")
    result = load([tmp_path / "matrix", tmp_path / "real" / "b.yaml"])
    assert result.problems == ()
    assert result.matrix is not None
    assert list(result.matrix.patterns) == ["conv_relu"]


def test_a_pipe_in_a_folder_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (problem,) = load([tmp_path]).problems
    assert problem.message.endswith("pipe.yaml is a named pipe")


def test_a_file_of_tensors_that_is_too_large_to_be_read_is_refused_unopened(tmp_path: Path) -> None:
    (tmp_path / "large.npz").touch()
    os.truncate(tmp_path / "large.npz", 20 * 2**30)
    text = "patterns: {p: {layers: {a: ReLU()}, forward: [return a(x)], inputs: {x: {from: large.npz}}}}\n"
    (problem,) = loaded(tmp_path, text).problems

    assert problem.message == "the file has 21,474,836,480 bytes: 'large.npz'"
    assert (
        problem.expected == "a file .npz, .pt, .pth, .safetensors, or a folder of them, of at most 17,179,869,184 bytes"
    )


def test_a_device_that_is_no_device_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    text = "devices: {cpu: {torch: cpu}, gpu: {torch: cuda}}\nsuites: {s: {axes: {pattern: p, quantizer: q, device: tpu}}}\n"
    (problem,) = (item for item in loaded(tmp_path, text).problems if item.message == "unknown device 'tpu'")

    assert problem.expected == "cpu, gpu"


SUITE = "suites:\n  s:\n    axes: {{pattern: conv_relu, dim: 1, quantizer: int8, channels: [{values}]}}\n"


def numbers(count: int) -> str:
    return ", ".join(map(str, range(count)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param("    checks: [" + ", ".join(["c"] * 2_500) + "]\n", id="checks"),
        pytest.param("    exclude: [" + ", ".join(["{dim: 2, because: x}"] * 25_000) + "]\n", id="excludes"),
        pytest.param(
            "expected: [" + ", ".join(["{cases: '*x*', verdict: close, because: x}"] * 25_000) + "]\n",
            id="expectations",
        ),
    ],
)
def test_more_rules_than_can_be_compared_with_the_points_are_an_error(tmp_path: Path, rules: str) -> None:
    checks = "checks: {c: {at: convert, absent: [relu]}}\n"
    started = time.process_time()
    (problem,) = loaded(tmp_path, PATTERN, QUANTIZER, checks, SUITE.format(values=numbers(1_000)) + rules).problems
    assert problem.source is not None
    assert problem.message.split(" points and ")[0].endswith(" 1,000")
    assert problem.expected == "numbers whose product is at most 20,000,000"
    assert time.process_time() - started < 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("patterns:\n" + "".join(f"  a{i}: {{layrs: 1}}\n" for i in range(40_000)), id="unknown keys"),
        pytest.param(
            "patterns:\n"
            + "".join(
                f"  a{i}: {{layers: {{z: b{i}x()}}, forward: [return z(x)], inputs: {{x: {{shape: [1]}}}}}}\n"
                for i in range(9_000)
            ),
            id="unknown layers",
        ),
        pytest.param(
            f"{PATTERN}suites: {{s: {{axes: {{quantizer: q, pattern: [{', '.join(f'p{i}' for i in range(60_000))}]}}}}}}",
            id="unknown patterns",
        ),
    ],
)
def test_of_very_many_problems_the_first_are_told(tmp_path: Path, text: str) -> None:
    started = time.process_time()
    result = loaded(tmp_path, text)
    assert result.problems[0].message == "there are 200 problems or more: fix these first"
    assert len(result.problems) == 201
    # Minutes, where each problem is looked at beside all others.
    assert time.process_time() - started < 60


def test_of_very_many_faults_of_one_pattern_the_first_are_told(tmp_path: Path) -> None:
    lines = "".join(f"      - y = [{', '.join(f'z{i}_{j}' for j in range(100))}]\n" for i in range(1_000))
    started = time.process_time()
    result = loaded(tmp_path, PATTERN.replace("      - y = norm(conv(x))\n", lines))
    assert 100 <= len(result.problems) <= 120
    assert time.process_time() - started < 5


@pytest.mark.slow
def test_a_pattern_of_very_many_layers_is_read_in_time(tmp_path: Path) -> None:
    many = range(9_000)
    text = (
        "patterns:\n  p:\n    inputs: {x: {shape: [1]}}\n    params: {"
        + ", ".join(f"p{i}: 1" for i in many)
        + "}\n    layers:\n"
        + "".join(f"      a{i}: Linear(p{i}, 1)\n" for i in many)
        + "    forward:\n"
        + "".join(f"      - x = a{i}(x)\n" for i in many)
        + "      - return x\n"
    )
    started = time.process_time()
    assert loaded(tmp_path, text).problems == ()
    assert time.process_time() - started < 15
