"""Parts of quantized programs: each computes what the program computes there, to the bit."""

from __future__ import annotations

import pytest
import torch
from torch import fx

from qatrix.execute.bisecting import converted_by_fx
from qatrix.execute.bisecting.cuts import Outline, outline, uncuttable
from qatrix.execute.bisecting.parts import part
from qatrix.execute.bisecting.trials import program_of
from qatrix.execute.recording import Store
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.exported import Exported
from support.branching import LAYERS, Branching, InPlace, Masking, Viewing, converted, graph_of, prepared

pytestmark = pytest.mark.torch

EVERYWHERE = [(pipeline, model) for pipeline in ("pt2e", "fx") for model in (Branching, Masking, Viewing)]


def outlined(program: Program) -> Outline:
    module = graph_of(program)
    return outline(module, module, program.inputs, Store())


def ops(module: fx.GraphModule) -> list[str]:
    """The names of what is neither an input nor a constant."""
    return [node.name for node in module.graph.nodes if node.op.startswith("call")]


@pytest.mark.parametrize(("pipeline", "model"), EVERYWHERE)
def test_each_op_by_itself_gives_the_programs_value(pipeline: str, model: type) -> None:
    found = outlined(converted(pipeline, model))
    parts = [(cut, part(found, found.feeding(cut), cut)) for cut in found.cuts]

    with torch.no_grad():
        assert [cut.read for cut, made in parts if not torch.equal(made.module(*made.inputs), found.value(cut))] == []


@pytest.mark.parametrize(("pipeline", "model"), EVERYWHERE)
def test_each_part_from_the_inputs_gives_the_programs_value(pipeline: str, model: type) -> None:
    found = outlined(converted(pipeline, model))
    parts = [(cut, part(found, (), cut)) for cut in found.cuts]

    with torch.no_grad():
        assert [cut.read for cut, made in parts if not torch.equal(made.module(*made.inputs), found.value(cut))] == []


def test_every_layer_that_quantizes_its_output_is_a_cut() -> None:
    found = outlined(converted("pt2e", Branching))

    assert len(found.cuts) == 1 + len(LAYERS)


def test_a_part_has_the_names_the_metadata_and_the_parameters_of_the_program() -> None:
    program = converted("pt2e", Branching)
    found = outlined(program)
    cut = next(cut for cut in found.cuts if cut.source == "relu")
    made = part(found, found.feeding(cut), cut).module
    own = {node.name: node for node in graph_of(program).graph.nodes}
    (conv,) = [node for node in made.graph.nodes if node.name == "conv2d_1"]

    assert conv.meta["nn_module_stack"] == own["conv2d_1"].meta["nn_module_stack"]
    assert made.get_parameter("block.c.bias") is program.module.get_parameter("block.c.bias")
    assert [node.name for node in made.graph.nodes if node.op == "placeholder"] == ["conv2d"]
    assert [name for name in ops(made) if "quantize" not in name] == ["conv2d_1", "relu"]


def test_a_join_has_an_input_for_each_value_that_it_reads() -> None:
    found = outlined(converted("fx", Branching))
    cut = next(cut for cut in found.cuts if cut.source == "cat")
    made = part(found, found.feeding(cut), cut)

    assert made.names == ("left", "act")
    assert [tuple(value.shape) for value in made.inputs] == [(2, 4, 8, 8), (2, 4, 8, 8)]


@pytest.mark.parametrize("model", [Branching, Masking, Viewing])
def test_parts_of_a_prepared_program_convert_to_those_of_its_reference(model: type) -> None:
    program = prepared("fx", model)
    reference = converted_by_fx(program.quantizer)
    found = outline(graph_of(program), reference(graph_of(program)), program.inputs, Store())
    wrong = []
    # convert_fx quantizes nothing of a program that computes nothing.
    for cut in (cut for cut in found.cuts if found.ops(cut)):
        for begin in (found.feeding(cut), ()):
            made = part(found, begin, cut)
            with torch.no_grad():
                if not torch.equal(reference(made.module)(*made.inputs), found.value(cut)):
                    wrong.append((cut.source, begin))

    assert len(found.cuts) > 3
    assert wrong == []


def test_a_prepared_part_knows_its_own_nodes_alone() -> None:
    program = prepared("fx", Branching)
    module = graph_of(program)
    found = outline(module, converted_by_fx(program.quantizer)(module), program.inputs, Store())
    cut = next(cut for cut in found.cuts if cut.source == "f2")
    made = part(found, found.feeding(cut), cut).module

    assert made.meta["_observed_graph_module_attrs"].observed_node_names == {"f1", "f2"}
    assert "stem" in module.meta["_observed_graph_module_attrs"].observed_node_names


def test_a_free_batch_stays_free_where_the_part_reads_no_size_of_the_input() -> None:
    program = converted("pt2e", Viewing, dynamic_batch=True)
    found = outlined(program)
    free = {}
    for cut in found.cuts:
        for begin in (found.feeding(cut), ()):
            free[cut.source, bool(begin)] = program_of(part(found, begin, cut), program).dynamic_batch

    assert free["relu", True]
    assert free["linear", False]
    assert not any(is_free for (source, begins), is_free in free.items() if source.startswith("reshape") and begins)


def test_a_part_with_a_free_batch_is_lowered() -> None:
    program = converted("pt2e", Viewing, dynamic_batch=True)
    found = outlined(program)
    cut = found.cuts[-1]
    for begin in (found.feeding(cut), ()):
        made = program_of(part(found, begin, cut), program)
        lowered = Exported().lower(made).run(made.inputs)

        assert torch.equal(lowered, found.value(cut))  # type: ignore[arg-type]  # a part gives one tensor


def test_a_value_that_is_changed_in_place_and_read_later_is_in_no_part() -> None:
    assert uncuttable(fx.symbolic_trace(InPlace())) == "the node relu_ changes a value in place that add reads after it"
