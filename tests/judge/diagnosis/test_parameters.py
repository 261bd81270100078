"""Quantization parameters: taken from programs, and side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import fx, nn
from torch.ao.quantization import FakeQuantize, MinMaxObserver, MovingAverageMinMaxObserver, PlaceholderObserver

from qatrix.judge.diagnosis.layout import layout_of
from qatrix.judge.diagnosis.parameters import Measured, measure, parameter_rows
from qatrix.judge.diagnosis.placement import place
from support.sights import measured

pytestmark = pytest.mark.torch


def per_channel(*scales: float) -> Measured:
    return replace(
        measured(),
        scale=torch.tensor(scales, dtype=torch.float64),
        zero_point=torch.zeros(len(scales), dtype=torch.int64),
    )


def test_differing_tensors_come_first_and_the_rest_keep_their_order() -> None:
    left = {"a": measured(0.1), "b": measured(0.1), "c": measured(0.1)}
    right = {"a": measured(0.1), "b": measured(0.1), "c": measured(0.2), "d": measured(0.3)}

    assert [(row.tensor, row.status) for row in parameter_rows(left, right)] == [
        ("c", "differs"),
        ("d", "right_only"),
        ("a", "same"),
        ("b", "same"),
    ]


def test_a_difference_names_what_differs_with_the_values_of_both_sides() -> None:
    (row,) = parameter_rows({"a": measured(0.1, 3, quant_min=0)}, {"a": measured(0.2, 5)})

    assert row.differing == ("quant_min", "scale", "zero_point")
    assert (row.left_scale, row.right_scale, row.left_zero_point, row.right_zero_point) == (0.1, 0.2, 3, 5)
    assert row.worst_channel is None


def test_per_channel_the_worst_channel_is_the_one_with_the_greatest_ratio() -> None:
    (row,) = parameter_rows({"w": per_channel(1.0, 0.1, 10.0)}, {"w": per_channel(1.1, 0.2, 10.5)})

    assert (row.worst_channel, row.left_scale, row.right_scale) == (1, 0.1, 0.2)


def test_scales_of_another_number_of_channels_are_no_error() -> None:
    (row,) = parameter_rows({"w": per_channel(1.0, 0.1)}, {"w": per_channel(1.0)})

    assert row.worst_channel is None


def test_an_observer_that_has_seen_nothing_has_no_number_of_channels() -> None:
    seen = measured(channels=4)
    blind = replace(seen, scale=None, zero_point=None, parameters=replace(seen.parameters, channels=1, scale_min=None))
    (row,) = parameter_rows({"w": seen}, {"w": blind})

    assert (row.status, row.differing) == ("same", ())


def test_an_op_knows_of_a_scheme_only_whether_it_is_per_tensor() -> None:
    observer = measured(type="FakeQuantize", qscheme="per_tensor_affine")
    (row,) = parameter_rows({"a": observer}, {"a": measured(qscheme="per_tensor")})

    assert "qscheme" not in row.differing


class OneLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.linear(x)
        return out


def measured_with(observer: nn.Module) -> dict[str, Measured]:
    """What is measured of a program in which something observes the output of its linear layer."""
    model = OneLinear()
    layout = layout_of(fx.symbolic_trace(model).graph, {"x", "linear"})
    program = fx.symbolic_trace(model)
    program.add_submodule("activation_post_process_0", observer)
    linear = next(node for node in program.graph.nodes if node.name == "linear")
    with program.graph.inserting_after(linear):
        node = program.graph.call_module("activation_post_process_0", (linear,))
    linear.replace_all_uses_with(node, delete_user_cb=lambda user: user is not node)
    return measure(program, place(layout, program), layout)


def test_a_fake_quantize_is_read_from_a_program() -> None:
    untyped: Any = FakeQuantize
    fake = untyped(MovingAverageMinMaxObserver, quant_min=0, quant_max=15, dtype=torch.quint8)
    fake(torch.tensor([0.0, 15.0]))
    found = measured_with(fake)["linear"]

    assert (found.parameters.type, found.parameters.observer) == ("FakeQuantize", "MovingAverageMinMaxObserver")
    assert (found.parameters.dtype, found.parameters.quant_min, found.parameters.quant_max) == ("uint8", 0, 15)
    assert found.parameters.scale_min == pytest.approx(1.0)
    assert found.faked


def test_an_observer_that_leaves_a_tensor_in_float_says_nothing_of_integers() -> None:
    untyped: Any = PlaceholderObserver

    assert measured_with(untyped(dtype=torch.float32)) == {}
    assert list(measured_with(untyped(dtype=torch.qint8))) == ["linear"]


def test_what_an_observer_makes_of_a_tensor_by_itself_is_not_measured() -> None:
    class Converting(MinMaxObserver):
        def convert(self, model: fx.GraphModule, observer_node: fx.Node) -> None:
            """Put ops of its own in."""

    untyped: Any = Converting

    assert measured_with(untyped()) == {}
