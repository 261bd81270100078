"""Exported, remembered and read from files, patterns give equal programs: every node, its metadata, every bit."""

from __future__ import annotations

import copy
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx, nn

from qatrix.declare.spec import Case
from qatrix.execute.passes import forward
from qatrix.pipelines import pattern_cache, pt2e, torchenv
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.pattern_cache.graphs import decoded_graph, encoded_graph
from qatrix.pipelines.pattern_cache.keys import key_of
from qatrix.pipelines.pattern_cache.values import Unencodable, encoded
from support.cases import shipped_cases

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.xdist_group("patterns")]

PLAIN = "conv_bn_relu_fusion/*dim=2*per_channel*"
# Between them every pattern: both dimensions, transposed or not, with and without bias and
# relu, per tensor and per channel, shared quantization specs, two blocks in one model.
SAMPLE = (
    PLAIN,
    "conv_bn_fusion/*dim=1*per_tensor*",
    "conv_bn_relu_fusion_no_conv_bias/*dim=1*per_channel*",
    "conv_bn_fusion_no_conv_bias/two_conv_bn/*dim=2*per_channel*",
    "conv_transpose_bn/*dim=1*per_channel*",
    "conv_transpose_bn_relu/*dim=2*per_tensor*",
    "update_shared_qspec/*dim=2*per_channel*",
    "preserve_source_fn_stack/*dim=2*per_channel*",
)

Originals = dict[Hashable, fx.GraphModule]


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """What a case came to: its programs as text, node by node, and their outputs."""

    prepared: list[object]
    converted: list[object]
    outputs: tuple[torch.Tensor, ...]


def quantize(glob: str) -> Quantized:
    (case,) = shipped_cases(glob)
    torch.set_num_threads(torchenv.THREADS)
    inputs = build_inputs(case)
    prepared = prepare(case, inputs)
    first = forward(prepared, inputs)
    told = described(prepared)
    pt2e.PIPELINE.to_eval(prepared)
    converted = pt2e.PIPELINE.convert(prepared, case.quantizer)
    second = forward(converted, inputs)
    assert isinstance(first, torch.Tensor)
    assert isinstance(second, torch.Tensor)
    return Quantized(prepared=told, converted=described(converted), outputs=(first, second))


def prepare(case: Case, inputs: Inputs) -> nn.Module:
    captured = pt2e.PIPELINE.capture(build_model(case), inputs, dynamic_batch=False)()
    return pt2e.PIPELINE.prepare(captured, inputs, case.quantizer, skip_modules=())


def described(program: nn.Module) -> list[object]:
    assert isinstance(program, fx.GraphModule)
    return [
        (
            node.op,
            node.name,
            str(node.target),
            repr(node.args),
            repr(node.kwargs),
            # `seq_nr` counts the autograd nodes that the process has made so far.
            {name: told(item) for name, item in node.meta.items() if name != "seq_nr"},
        )
        for node in program.graph.nodes
    ]


def told(value: object) -> str:
    """Metadata as text without what the history of a process alone decides: addresses and counters of generated code."""
    try:
        data = encoded(value)
    except Unencodable:
        data = repr(value)
    return re.sub(r"0x[0-9a-f]+|\b\d{12,}\b|<eval_with_key>\.\d+", "", str(data))


def assert_equal(one: Quantized, other: Quantized) -> None:
    assert one.prepared == other.prepared
    assert one.converted == other.converted
    assert all(torch.equal(left, right) for left, right in zip(one.outputs, other.outputs))


def stand_in(patch: pytest.MonkeyPatch, replace: Any) -> None:
    for module in torchenv.pattern_modules():
        patch.setattr(module, torchenv.PATTERN_FUNCTION, replace(getattr(module, torchenv.PATTERN_FUNCTION)))


@pytest.fixture(scope="module")
def plain() -> tuple[Quantized, Originals]:
    """One case without the cache, and all 126 patterns as torch exported them for it."""
    originals: Originals = {}

    def noting(export: Any) -> Any:
        def call(pattern: Any, inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any) -> fx.GraphModule:
            graph: fx.GraphModule = export(pattern, inputs, is_cuda, **kwargs)
            originals[key_of(pattern, inputs, is_cuda=is_cuda, keywords=kwargs)] = copy.deepcopy(graph)
            return graph

        return call

    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, noting)
        return quantize(PLAIN), originals


def from_originals(originals: Originals) -> Any:
    """An export that hands out copies of what torch exported before, so that it costs nothing."""

    def call(pattern: Any, inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any) -> fx.GraphModule:
        graph = originals[key_of(pattern, inputs, is_cuda=is_cuda, keywords=kwargs)]
        return copy.deepcopy(graph)

    return lambda _: call


@pytest.fixture(scope="module")
def texts(plain: tuple[Quantized, Originals]) -> Mapping[Hashable, object]:
    """The data of what torch exported."""
    return {key: encoded_graph(graph) for key, graph in plain[1].items()}


Memory = dict[Hashable, tuple[fx.GraphModule, tuple[Any, ...]]]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the case of `plain` came to, and the memory after it."""

    quantized: Quantized
    memory: Memory
    note: str | None


def kept(patch: pytest.MonkeyPatch, exported: Originals) -> Kept:
    """That case in a process that remembers nothing, and in which torch exports these patterns and no others."""
    memory: Memory = {}
    patch.setattr(pattern_cache, "_MEMO", memory)
    stand_in(patch, from_originals(exported))
    with pattern_cache.pattern_cache() as note:
        return Kept(quantized=quantize(PLAIN), memory=memory, note=note)


@pytest.fixture(scope="module")
def memories(plain: tuple[Quantized, Originals], tmp_path_factory: pytest.TempPathFactory) -> tuple[Kept, Kept]:
    """What is remembered of all patterns as they are exported and written, and as they are read from those files.

    A case asks for all of them whatever its model is, so that one fills the memory for all.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        filling = kept(patch, plain[1])
        return filling, kept(patch, {})


def remembering(patch: pytest.MonkeyPatch, memory: Memory, tmp_path: Path) -> Any:
    """The cache with this memory, where nothing can be exported and there are no files."""
    patch.setattr(pattern_cache, "_MEMO", memory)
    patch.setattr(pattern_cache, "_WRITTEN", set())
    patch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stand_in(patch, from_originals({}))
    return pattern_cache.pattern_cache()


def test_every_pattern_comes_back_from_its_data(plain: tuple[Quantized, Originals]) -> None:
    graphs = list(plain[1].values())
    back = [decoded_graph(encoded_graph(graph)) for graph in graphs]

    assert len(graphs) == 126
    assert [encoded_graph(graph) for graph in back] == [encoded_graph(graph) for graph in graphs]
    assert [described(graph) for graph in back] == [described(graph) for graph in graphs]
    assert [graph.code for graph in back] == [graph.code for graph in graphs]


def test_the_first_process_and_the_next_remember_all_patterns_and_give_the_programs_of_plain_exports(
    plain: tuple[Quantized, Originals], memories: tuple[Kept, Kept]
) -> None:
    for found in memories:
        assert found.note is None
        assert_equal(found.quantized, plain[0])
        assert found.memory.keys() == plain[1].keys()


@pytest.mark.parametrize("glob", SAMPLE)
def test_remembered_and_filed_patterns_give_the_programs_of_exported_ones_and_are_not_written_to(
    plain: tuple[Quantized, Originals],
    memories: tuple[Kept, Kept],
    texts: Mapping[Hashable, object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    glob: str,
) -> None:
    with monkeypatch.context() as patch:
        stand_in(patch, from_originals(plain[1]))
        exported = quantize(glob)

    for remembered in memories:
        with monkeypatch.context() as patch, remembering(patch, remembered.memory, tmp_path):
            assert_equal(quantize(glob), exported)
            assert not pattern_cache._WRITTEN
    assert {key: encoded_graph(graph) for key, (graph, _) in memories[0].memory.items()} == texts


def test_copies_of_what_was_exported_give_the_programs_of_plain_exports(
    plain: tuple[Quantized, Originals], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch, from_originals(plain[1]))

    assert_equal(quantize(PLAIN), plain[0])
