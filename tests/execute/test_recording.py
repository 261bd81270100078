"""Recording: the bits of an ordinary run, bounded memory, values as they were before anything changed them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.execute.passes import forward
from qatrix.execute.recording import Store, record, tensor_nodes
from qatrix.judge.diagnosis.placement import Probe
from qatrix.pipelines.inputs import Inputs

pytestmark = pytest.mark.torch


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = x + 1
        z: Tensor = self.dropout(y.relu_())
        return z


def test_a_recorded_run_gives_the_bits_of_an_ordinary_one() -> None:
    program, x = fx.symbolic_trace(InPlace()), torch.randn(3, 4)
    outputs, _ = record(program, Inputs.of(x), [], Store())

    assert isinstance(outputs, Tensor)
    assert torch.equal(outputs, forward(program, Inputs.of(x)))  # type: ignore[arg-type]  # a tensor


def test_a_value_is_kept_as_it_was_before_an_op_changed_it_in_place() -> None:
    program, x = fx.symbolic_trace(InPlace()), torch.full((2,), -3.0)
    _, recorded = record(program, Inputs.of(x), [Probe(node="add")], Store())

    assert torch.equal(recorded.get(Probe(node="add")), torch.full((2,), -2.0))  # type: ignore[arg-type]  # a tensor


def test_what_no_probe_asks_for_is_not_kept() -> None:
    program = fx.symbolic_trace(InPlace())
    _, recorded = record(program, Inputs.of(torch.ones(2)), [Probe(node="add")], Store())

    assert recorded.get(Probe(node="dropout")) is None


def test_values_beyond_the_bound_go_to_files_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(limit=20)
    small, large = store.keep(torch.arange(4.0)), store.keep((torch.arange(8.0), 3))

    assert len(list(tmp_path.rglob("*.pt"))) == 1
    assert torch.equal(small(), torch.arange(4.0))  # type: ignore[arg-type]  # a tensor
    pair = large()
    assert isinstance(pair, tuple)
    assert torch.equal(pair[0], torch.arange(8.0))
    assert pair[1] == 3
    store.close()
    assert list(tmp_path.rglob("*.pt")) == []


def test_equal_tensors_are_kept_once_and_others_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(limit=0)
    first, second = store.keep(torch.zeros(3)), store.keep(torch.zeros(3))
    signed, shaped, empty = store.keep(-torch.zeros(3)), store.keep(torch.zeros(3, 1)), store.keep(torch.zeros(0))

    assert first is second
    assert len({first, signed, shaped, empty}) == 4
    assert len(list(tmp_path.rglob("*.pt"))) == 3, "what is empty needs no file"
    store.close()


def test_the_parts_of_a_module_are_seen_from_inside() -> None:
    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.bn(x * 2).relu()
            return out

    graph = fx.Graph()
    x = graph.placeholder("x")
    graph.output(graph.call_module("fused", (x,)))
    program = fx.GraphModule({"fused": Fused()}, graph)
    probes = [Probe(node="fused", part="bn.input"), Probe(node="fused", part="bn.output")]
    _, recorded = record(program, Inputs.of(torch.ones(3, 2)), probes, Store())

    assert torch.equal(recorded.get(probes[0]), torch.full((3, 2), 2.0))  # type: ignore[arg-type]  # a tensor
    assert torch.equal(recorded.get(probes[1]), torch.zeros(3, 2))  # type: ignore[arg-type]  # a tensor


def test_only_nodes_whose_values_are_tensors_count() -> None:
    assert tensor_nodes({"a": torch.ones(1), "b": 3, "c": (torch.ones(1),), "d": (), "e": None}) == {"a", "c"}
