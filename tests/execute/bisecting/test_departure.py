"""The first difference inside a runtime, with faults that are planted in a runtime, and with real ones."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.execute.bisecting import Bisected, converted_by_fx, departure
from qatrix.lowerings import Kernel, Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.backend import backend_config
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.exported import Exported
from support import models
from support.branching import LAYERS, NATIVE, Branching, Masking, Viewing, converted, graph_of, prepared
from support.faulty_runtime import FAULTS, Fault, Faulty

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("as_in_a_worker")]

PIPELINES = ("pt2e", "fx")
# Of 13 cuts.
MOST = 2 * math.ceil(math.log2(14)) + 8


def bisected(
    pipeline: str, wrong: Mapping[str, Fault], model: Callable[[], nn.Module] = Branching
) -> tuple[Bisected, Faulty]:
    program = converted(pipeline, model)
    runtime = Faulty(wrong, graph_of(program))
    return departure(runtime, program), runtime


def shifted(steps: float) -> Fault:
    """What is wrong by so many of its own quantization steps, where those are in the graph."""

    def fault(node: fx.Node, value: Tensor) -> Tensor:
        quantize = next(user for user in node.users if "quantize_per_tensor" in str(user.target))
        scale = quantize.args[1]
        assert isinstance(scale, float)
        return value + steps * scale

    return fault


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize(
    ("layer", "fault"), [(layer, list(FAULTS)[place % len(FAULTS)]) for place, layer in enumerate(LAYERS)]
)
def test_the_layer_that_a_runtime_computes_wrong_is_found(pipeline: str, layer: str, fault: str) -> None:
    found, runtime = bisected(pipeline, {layer: FAULTS[fault]})
    first = found.first

    assert first is not None, found.notes
    assert (first.layer, first.op) == (layer, LAYERS[layer][PIPELINES.index(pipeline)])
    assert first.alone
    assert first.max_steps is not None
    assert first.max_steps > 1.001
    assert found.lowerings == len(runtime.lowered) <= MOST


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("layer", ["stem", "block.c", "add", "act", "f2"])
def test_whatever_is_wrong_with_it(layer: str, fault: str) -> None:
    found, _ = bisected("fx", {layer: FAULTS[fault]})

    assert found.first is not None
    assert (found.first.layer, found.first.alone) == (layer, True)


def test_what_is_fused_behind_a_layer_is_told_with_it() -> None:
    found, _ = bisected("pt2e", {"block.r": FAULTS["scales"]})

    assert found.first is not None
    assert (found.first.layer, found.first.op) == ("block.c", "conv2d, relu")


def test_a_sentence_has_the_layer_the_kernel_and_the_steps() -> None:
    found, _ = bisected("pt2e", {"left": shifted(13.0)})

    assert found.first is not None
    assert found.first.kernel == "fake.conv2d"
    assert found.first.sentence == "left: given the same inputs, fake.conv2d differs from the reference by 13 steps"


def test_what_shows_it_is_handed_on() -> None:
    found, _ = bisected("pt2e", {"left": shifted(13.0)})
    shown = found.shown

    graph = graph_of(converted("pt2e", Branching)).graph
    (quantize,) = next(node for node in graph.nodes if node.name == "conv2d_2").users

    assert shown is not None
    assert shown.scale is not None
    assert (shown.scale, shown.zero_point, shown.quant_min, shown.quant_max) == quantize.args[1:5]
    assert torch.equal(shown.module(*shown.inputs), shown.reference)
    difference = (shown.lowered - shown.reference).abs().max().item()
    assert difference == pytest.approx(13 * shown.scale, rel=1e-4)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_runtime_that_agrees_has_no_departure(pipeline: str) -> None:
    found, runtime = bisected(pipeline, {})

    assert found.first is None
    assert len(runtime.lowered) == 1
    assert found.notes == (
        "the first difference was not searched for, because no output that can be cut off is off by more than one step",
    )


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_one_step_is_no_departure(pipeline: str) -> None:
    found, _ = bisected(pipeline, {"f2": shifted(1.0)})

    assert found.first is None


def test_steps_that_add_up_are_told_as_what_no_op_does_alone() -> None:
    found, _ = bisected("pt2e", {layer: shifted(1.0) for layer in ("add", "left", "right", "pool", "avg", "flatten")})

    assert found.first is not None
    assert not found.first.alone
    assert found.first.kernel is None
    assert "by itself, no op from there on is off by more than one step" in found.first.sentence
    assert found.shown is not None
    assert found.shown.each_agrees


def test_no_op_is_called_innocent_that_could_not_be_tried_by_itself() -> None:
    program = converted("pt2e", Branching)
    wrong = {layer: shifted(1.0) for layer in ("add", "left", "right", "pool", "avg", "flatten")}
    found = departure(Faulty(wrong, graph_of(program), refuses=frozenset({"add"})), program)

    assert found.first is not None
    assert not found.first.alone
    assert found.first.sentence.endswith("not every op from there on could be tried by itself")
    assert found.shown is not None
    assert not found.shown.each_agrees


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_first_of_two_branches_wins(pipeline: str) -> None:
    both = {"left": FAULTS["scales"], "right": FAULTS["drops"]}
    found, runtime = bisected(pipeline, both)

    assert found.first is not None
    assert found.first.layer == "left"
    assert len(runtime.lowered) <= MOST


def negatives_lost(_: fx.Node, value: Tensor) -> Tensor:
    return value.clamp(min=0.0)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_clamp_hides_is_found_where_it_shows(pipeline: str) -> None:
    # All values behind the clamp agree, so that the bisection takes the convolution for innocent.
    found, _ = bisected(pipeline, {"conv": negatives_lost}, Masking)

    assert found.first is not None
    assert (found.first.layer, found.first.alone) == ("conv", True)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_part_that_cannot_be_lowered_is_left_out_with_a_note(pipeline: str) -> None:
    program = converted(pipeline, Branching)
    refused = {*LAYERS, "block.r", "relu"} - {"stem", "add", "f2"}
    runtime = Faulty({"add": FAULTS["scales"]}, graph_of(program), refuses=frozenset(refused))
    found = departure(runtime, program)

    assert found.first is not None
    assert (found.first.layer, found.first.alone) == ("add", True)
    assert any("cannot be lowered by itself: RuntimeError: planted" in note for note in found.notes)


def test_outputs_that_are_there_already_are_not_computed_again() -> None:
    program = converted("pt2e", Branching)
    runtime = Faulty({"add": FAULTS["drops"]}, graph_of(program))
    outputs = runtime(program).run(program.inputs)
    runtime.lowered.clear()
    found = departure(runtime, program, outputs=outputs)

    assert found.first is not None
    assert program not in runtime.lowered


def test_a_fault_of_the_second_output_alone_is_found() -> None:
    program = converted("pt2e", Branching)
    wanted, second = program.inputs.call(program.module)
    found = departure(Faulty({"f1": FAULTS["drops"]}, graph_of(program)), program, outputs=(wanted, second * 0))

    assert found.first is not None
    assert found.first.layer == "f1"


def test_a_fault_that_no_part_shows_is_told() -> None:
    program = converted("pt2e", Branching)
    wanted, second = program.inputs.call(program.module)
    found = departure(Faulty({}, graph_of(program)), program, outputs=(wanted * 2, second))

    assert found.first is None
    assert "because the whole program differs but none of its parts does" in found.notes[0]


def test_a_program_with_a_graph_inside_is_refused_with_the_reason() -> None:
    found = departure(Exported().lower, converted("pt2e", models.FrozenStem))

    assert found.first is None
    assert "runs a graph inside the graph" in found.notes[0]


def test_a_runtime_that_does_not_lower_the_program_is_a_note() -> None:
    program = converted("pt2e", Branching)
    found = departure(Faulty({}, graph_of(program), refuses=frozenset({"f2"})), program)

    assert found.notes == ("the first difference was not found: RuntimeError: planted: no such kernel here",)


def test_a_linear_layer_behind_a_view_is_tried_with_quantized_values() -> None:
    # X86InductorQuantizer quantizes no view and no output.
    program = converted("pt2e", Viewing, quantizer="x86_int8_ptq")
    runtime = Faulty({"head": FAULTS["drops"]}, graph_of(program))
    found = departure(runtime, program)

    assert found.first is not None
    assert (found.first.layer, found.first.op) == ("head", "linear")
    assert found.first.max_steps is None
    assert found.shown is not None
    names = [str(node.target) for node in found.shown.module.graph.nodes if node.op == "call_function"]
    assert any("quantize_per_tensor" in name for name in names)
    assert not any("conv2d" in name for name in names)


@dataclass
class Native:
    """What FX graph mode itself makes of a prepared program."""

    module: nn.Module

    def run(self, inputs: Inputs) -> object:
        return inputs.call(self.module)

    def ran(self) -> Ran:
        parts = self.module.children()
        return Ran(kernels=tuple(Kernel(name=type(part).__name__, arithmetic="integers") for part in parts))


def natively(program: Program) -> Native:
    """The program on the kernels of the engine that is switched on."""
    config = backend_config(program.quantizer)
    return Native(torchenv.fx_api().convert_fx(copy.deepcopy(program.module), backend_config=config))


class Clamping(nn.Sequential):
    """The clamp of the engine qnnpack reads what a convolution of its own gives as if it lay otherwise in memory."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU6(), nn.Conv2d(8, 4, 1))


@pytest.fixture
def qnnpack() -> object:
    if "qnnpack" not in torch.backends.quantized.supported_engines:
        pytest.skip("this torch has no engine qnnpack")
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    yield
    torch.backends.quantized.engine = before


def test_the_clamp_of_qnnpack_is_found(qnnpack: None) -> None:
    program = prepared("fx", Clamping, quantizer=NATIVE)
    found = departure(natively, program, reference=converted_by_fx(program.quantizer))

    assert found.first is not None, found.notes
    assert (found.first.layer, found.first.op) == ("3", "relu6")
    assert found.first.max_steps is not None
    assert found.first.max_steps > 10


def test_a_network_without_one_is_right_on_qnnpack(qnnpack: None) -> None:
    program = prepared("fx", Viewing, quantizer=NATIVE)
    found = departure(natively, program, reference=converted_by_fx(program.quantizer))

    assert found.first is None


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_program_that_is_saved_and_loaded_has_no_departure(pipeline: str) -> None:
    assert departure(Exported().lower, converted(pipeline, Branching)).first is None
