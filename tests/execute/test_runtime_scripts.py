"""Scripts of cases with a runtime, each run in a process of its own: they print what the runtime gave, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qatrix.declare.spec import Case, RuntimeSpec, RuntimeUse
from qatrix.execute.options import Execution
from qatrix.execute.workers import torch_ready
from qatrix.outcomes import Record
from qatrix.pipelines.runtimes import runtime_of
from qatrix.pipelines.torchenv import environment
from qatrix.report.repro import expected_lines, figure_lines, needed_package, same_lines, script_text
from qatrix.runtimes import BUILT_IN
from support.cases import source_of, written_cases
from support.specs import source
from support.warm import Ended, run_alone, run_warm

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
QUANTIZERS = """
quantizers:
  native: {mode: ptq, fx: {backend_config: qnnpack, qconfig_mapping: qnnpack}}
patterns:
  clamped:
    layers: {a: "Conv2d(3, 8, 3)", act: ReLU6(), b: "Conv2d(8, 4, 1)"}
    forward: ["return b(act(a(x))).flatten(1)"]
    inputs: {x: {shape: [2, 3, 8, 8]}}
  named:
    layers: {a: "Linear(8, 4)", b: "Linear(4, 4)"}
    forward: ["y = F.relu(a(x)) * scale", "return b(y), y"]
    inputs: {x: {shape: [2, 8]}, scale: {shape: [2, 4], by: keyword}}
"""


@pytest.fixture(scope="module", autouse=True)
def run() -> Iterator[Callable[..., Record]]:
    """What runs a case, with the patterns of PT2E memoised, and with one thread."""
    threads = torch.get_num_threads()
    with torch_ready(Execution(diagnose="never")) as ready:
        yield ready
    torch.set_num_threads(threads)


def use_of(runtime: str, **options: object) -> RuntimeUse:
    """A built-in runtime that is here, with its options; the test is skipped where it is not."""
    known = BUILT_IN[runtime]
    pytest.importorskip(known.module)
    told = {name: values[0] for name, values in known.options.items()} | options
    use = RuntimeUse(runtime=runtime, options=told)
    if (reason := runtime_of(use).missing()) is not None:
        pytest.skip(reason)
    return use


def deployed(tmp_path: Path, pattern: str, quantizer: str, uses: Mapping[str, RuntimeUse], **axes: object) -> Case:
    """The case of a pattern whose pipelines are lowered; the others are left out."""
    told = "".join(f", {name}: {value}" for name, value in axes.items())
    suites = f"suites: {{s: {{axes: {{pattern: {pattern}, quantizer: {quantizer}{told}}}}}}}"
    (case,) = written_cases(tmp_path, f"{QUANTIZERS}\n{suites}\n")
    spec = RuntimeSpec(name="here", about="", uses=uses, source=source())
    return replace(case, runtime=spec, pipelines=tuple(uses), compare=("convert", "lowered"))


def printed(
    case: Case,
    record: Record | None,
    tmp_path: Path,
    run: Callable[[Path, Sequence[str]], Ended],
    path: Sequence[str] = (),
) -> str:
    """What the case's script prints, run by itself."""
    script = tmp_path / "repro.py"
    script.write_text(script_text(source_of(case), environment=environment(), record=record))
    ended = run(script, path)

    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


EVERYWHERE = [
    ("exported", {}),
    ("reexported", {"strict": True}),
    ("reexported", {"strict": False}),
    ("executorch", {}),
    ("executorch", {"partitioner": "none"}),
    ("onnxruntime", {}),
    ("onnxruntime", {"optimization": "none"}),
    ("inductor", {"compile": False}),
    ("inductor", {}),
    ("aoti", {}),
]


@pytest.mark.parametrize(("runtime", "options"), EVERYWHERE)
def test_a_script_shows_what_a_runtime_gives(
    runtime: str, options: dict[str, object], run: Callable[..., Record], tmp_path: Path
) -> None:
    use = use_of(runtime, **options)
    # oneDNN's kernels take unsigned activations alone, and its lowering no view of what a convolution gives.
    on_x86 = runtime in {"inductor", "aoti"}
    pattern, quantizer = (
        ("conv_bn_relu, dim: 2", "x86_int8_ptq") if on_x86 else ("clamped", "xnnpack_int8_per_channel_ptq")
    )
    case = deployed(tmp_path, pattern, quantizer, {"pt2e": use})
    record = run(case)
    # What compiles starts processes of its own.
    compiles = on_x86 and options.get("compile", True)
    text = printed(case, record, tmp_path, run_alone if compiles else run_warm)

    assert record.pipelines["pt2e"].lowering is not None, record.summary
    assert f"pt2e on {runtime}: SQNR " in text
    assert f"pt2e and pt2e on {runtime} after lowering: max abs difference " in text
    assert same_lines(figure_lines(text), expected_lines(record)), (text, expected_lines(record))


def test_a_script_shows_the_clamp_of_qnnpack(run: Callable[..., Record], tmp_path: Path) -> None:
    case = deployed(tmp_path, "clamped", "native", {"fx": use_of("native", engine="qnnpack")})
    record = run(case)
    text = printed(case, record, tmp_path, run_warm)

    assert same_lines(figure_lines(text), expected_lines(record)), (text, expected_lines(record))
    assert " steps" in text


def test_a_script_compares_two_runtimes(run: Callable[..., Record], tmp_path: Path) -> None:
    uses = {"pt2e": use_of("exported"), "fx": use_of("reexported", strict=False)}
    case = deployed(tmp_path, "clamped", "xnnpack_int8_per_channel_ptq", uses)
    record = run(case)
    text = printed(case, record, tmp_path, run_warm)

    assert "pt2e on exported and fx on reexported after lowering: max abs difference " in text
    assert same_lines(figure_lines(text), expected_lines(record)), (text, expected_lines(record))


@pytest.mark.parametrize("runtime", ["exported", "executorch", "onnxruntime"])
def test_a_script_calls_a_runtime_with_keywords(runtime: str, run: Callable[..., Record], tmp_path: Path) -> None:
    case = deployed(tmp_path, "named", "xnnpack_int8_per_tensor_ptq", {"pt2e": use_of(runtime)})
    record = run(case)
    text = printed(case, record, tmp_path, run_warm)

    assert record.pipelines["pt2e"].lowering is not None, record.summary
    assert same_lines(figure_lines(text), expected_lines(record)), (text, expected_lines(record))


def test_a_script_leaves_the_batch_free_for_its_runtime(run: Callable[..., Record], tmp_path: Path) -> None:
    uses = {"pt2e": use_of("exported")}
    case = deployed(tmp_path, "clamped", "xnnpack_int8_per_channel_ptq", uses, dynamic_batch="true")
    text = printed(case, run(case), tmp_path, run_warm)

    assert 'torch.export.Dim("batch")' in (tmp_path / "repro.py").read_text()
    assert "pt2e on exported: SQNR " in text


@pytest.mark.parametrize("runtime", ["exported", "reexported"])
def test_a_script_that_no_record_is_known_for_is_ready_for_all(runtime: str, tmp_path: Path) -> None:
    uses = {name: use_of(runtime) for name in ("pt2e", "fx")}
    case = deployed(tmp_path, "clamped", "xnnpack_int8_per_channel_ptq", uses)
    lines = figure_lines(printed(case, None, tmp_path, run_warm))

    assert [line.partition(":")[0] for line in lines if "lowering" in line] == [
        f"pt2e and pt2e on {runtime} after lowering",
        f"fx and fx on {runtime} after lowering",
        f"pt2e on {runtime} and fx on {runtime} after lowering",
    ]


def test_a_runtime_of_ones_own_is_imported_from_where_it_is(tmp_path: Path) -> None:
    use = RuntimeUse(runtime="my_runtimes.Doubling", options={"by": 2})
    case = deployed(tmp_path, "clamped", "xnnpack_int8_per_channel_ptq", {"pt2e": use})
    (tmp_path / "my_runtimes.py").write_text(
        "class Doubling:\n"
        "    def __init__(self, options):\n"
        "        self.by = options['by']\n\n"
        "    def lower(self, model, args, kwargs):\n"
        "        return lambda *args, **kwargs: model(*args, **kwargs) * self.by\n"
    )
    text = printed(case, None, tmp_path, run_warm, path=[str(tmp_path)])

    assert needed_package((tmp_path / "repro.py").read_text()) == "my_runtimes"
    assert "pt2e on my_runtimes.Doubling: SQNR " in text
