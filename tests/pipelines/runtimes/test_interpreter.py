"""The runtime in `examples/runtime-package`: what it gives, and that it can be told to get one layer wrong."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.declare.spec import QuantizerSpec, RuntimeUse
from qatrix.lowerings import Ran
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Lowered, Program, runtime_of
from support.cases import written_cases

pytestmark = pytest.mark.torch

PACKAGE = Path(__file__).parents[3] / "examples" / "runtime-package"
X = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
LAYER = "layers.6"
SUITE = """
suites:
  s: {axes: {pattern: linear_relu, quantizer: xnnpack_int8_per_channel_ptq}}
"""


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """The package's folder is one of those that modules come from."""
    sys.path.insert(0, str(PACKAGE))
    yield
    sys.path.remove(str(PACKAGE))


@pytest.fixture(scope="module", params=["pt2e", "fx"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The tower, quantized by a pipeline."""
    (case,) = written_cases(tmp_path_factory.mktemp("suite"), SUITE)
    torch.manual_seed(0)
    model: nn.Module = importlib.import_module("layer_interpreter").Tower().eval()
    return Program(
        module=converted(request.param, model, case.quantizer), inputs=Inputs.of(X), quantizer=case.quantizer
    )


def converted(name: str, model: nn.Module, quantizer: QuantizerSpec) -> nn.Module:
    pipeline, inputs = PIPELINES[name], Inputs.of(X)
    captured = pipeline.capture(model, inputs, dynamic_batch=False)()
    prepared = pipeline.prepare(captured, inputs, quantizer, skip_modules=())
    with pipeline.evaluation():
        inputs.call(prepared)
    pipeline.to_eval(prepared)
    return pipeline.convert(prepared, quantizer)


def lowered(program: Program, **options: str) -> Lowered:
    return runtime_of(RuntimeUse(runtime="layer_interpreter.Interpreter", options=options)).lower(program)


def run(program: Program, **options: str) -> Tensor:
    found = lowered(program, **options).run(program.inputs)
    assert isinstance(found, Tensor)
    return found


def reference(program: Program) -> Tensor:
    found: Tensor = program.inputs.call(program.module)
    return found.detach()


def test_it_gives_what_the_program_gives_to_the_bit(program: Program) -> None:
    assert torch.equal(run(program), reference(program))


@pytest.mark.parametrize("fault", ["scale", "clamp", "drop"])
def test_each_fault_shows_by_more_than_the_steps_of_the_output(program: Program, fault: str) -> None:
    expected = reference(program)
    steps = (run(program, fault=fault, layer=LAYER) - expected).abs().max() / ((expected.max() - expected.min()) / 255)

    assert steps > 10


def test_a_fault_of_a_layer_that_a_part_does_not_have_changes_nothing(program: Program) -> None:
    assert torch.equal(run(program, fault="scale", layer="layers.99"), reference(program))


def test_parts_of_the_program_are_wrong_from_the_layer_s_last_op_on(program: Program) -> None:
    assert isinstance(program.module, fx.GraphModule)
    wrong = importlib.import_module("layer_interpreter").OpByOp(program.module, "scale", LAYER).wrong

    assert not differs(part(program, until=wrong.all_input_nodes[0]))
    assert differs(part(program, until=wrong))


def part(program: Program, *, until: fx.Node) -> Program:
    """The program up to a node, whose value it gives."""
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    nodes = [*until.graph.nodes]
    for node in sorted(nodes[: nodes.index(until) + 1], key=lambda node: node.op != "placeholder"):
        made[node] = graph.node_copy(node, made.__getitem__)
    graph.output(made[until])
    return replace(program, module=fx.GraphModule(program.module, graph))


def differs(program: Program) -> bool:
    return not torch.equal(run(program, fault="scale", layer=LAYER), reference(program))


def test_it_says_what_ran(program: Program) -> None:
    model = lowered(program)
    model.run(program.inputs)
    ran = model.ran()
    layers = {layer for kernel in ran.kernels for layer in kernel.layers}

    assert isinstance(ran, Ran)
    assert {f"layers.{number}" for number in range(0, 12, 2)} <= layers
    assert {kernel.arithmetic for kernel in ran.kernels} == {"none", "float"}


@pytest.mark.parametrize(
    "options", [{"fault": "scale"}, {"layer": LAYER}, {"fault": "halve", "layer": LAYER}, {"faults": "scale"}]
)
def test_options_that_it_does_not_know_are_refused(program: Program, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"^cannot be told .*; expected layer, and fault: scale, clamp, drop$"):
        lowered(program, **options)


def test_a_model_without_a_graph_is_refused(program: Program) -> None:
    plain = Program(module=nn.Linear(8, 8), inputs=program.inputs, quantizer=program.quantizer)

    with pytest.raises(TypeError, match="cannot run a Linear; expected a program with a graph"):
        lowered(plain)
