"""What a model is called with, as one value."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import Tensor, fx, nn

from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Batches, Inputs

pytestmark = pytest.mark.torch
X, Y, Z = torch.ones(2, 3), torch.zeros(2, 3), torch.full((2, 3), 2.0)


class Scaled(nn.Module):
    """Takes arguments by keyword, one of which has a default."""

    def forward(self, x: Tensor, *, scale: Tensor, bias: float = 0.5) -> Tensor:
        """The scaled values."""
        return x * scale + bias


def test_the_tensors_of_nested_arguments_are_found_in_their_order() -> None:
    given = Inputs(({"a": X, "b": [Y]}, (Z,)), {"mask": X})

    assert [tensor is due for tensor, due in zip(given.tensors, (X, Y, Z, X))] == [True] * 4


def test_what_a_call_writes_to_does_not_reach_the_arguments() -> None:
    given = Inputs(({"a": X},), {"y": Y})
    given.call(lambda batch, y: (batch["a"].add_(1), y.add_(1)))

    assert torch.equal(X, torch.ones(2, 3))
    assert torch.equal(Y, torch.zeros(2, 3))


def test_a_copy_keeps_how_the_values_lie_in_memory() -> None:
    image = torch.ones(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)

    assert Inputs.of(image).copies().tensors[0].is_contiguous(memory_format=torch.channels_last)


def test_the_values_for_a_graph_stand_in_the_order_of_its_parameters() -> None:
    traced = fx.symbolic_trace(Scaled())
    values = Inputs((X,), {"scale": Z}).in_order(traced)

    assert [value is due for value, due in zip(values, (X, Z))] == [True, True]
    assert torch.equal(fx.Interpreter(traced).run(*values), traced(X, scale=Z))


def test_the_values_for_an_exported_program_are_its_tensors() -> None:
    class Nested(nn.Module):
        def forward(self, batch: dict[str, Tensor], *, mask: Tensor) -> Tensor:
            return batch["b"] * mask - batch["a"]

    given = Inputs(({"b": Z, "a": X},), {"mask": Z})
    program = torchenv.capture(Nested(), given, dynamic_batch=False)()
    assert isinstance(program, fx.GraphModule)

    found = fx.Interpreter(program).run(*given.in_order(program))
    assert torch.equal(found, given.call(program))
    assert torch.equal(found, torch.full((2, 3), 3.0))


def test_every_batch_runs_unless_none_calibrates() -> None:
    batches = Batches(first=Inputs.of(X), more=(Inputs.of(Y),))

    assert [batch.tensors[0] is due for batch, due in zip(batches.calibrating, (X, Y))] == [True, True]
    assert Batches(first=Inputs.of(X), calibrates=False).calibrating == ()
    assert batches.map(operator.neg).more[0].tensors[0].tolist() == (-Y).tolist()


def test_larger_inputs_are_twice_as_long_along_their_free_axes() -> None:
    given = Inputs((X, {"a": Y}), {"mask": Z}, free=(((0, "batch"), (1, "length")), (), ((1, "length"),)))
    larger = given.larger()

    assert [list(tensor.shape) for tensor in larger.tensors] == [[4, 6], [2, 3], [2, 6]]
    assert given.sizes() == {"batch": 2, "length": 3}
    assert larger.sizes() == {"batch": 4, "length": 6}


def test_free_axes_are_captured_without_a_length_and_the_others_with_one() -> None:
    class Summed(nn.Module):
        def forward(self, pair: tuple[Tensor, Tensor], *, scale: Tensor) -> Tensor:
            return (pair[0] * scale).sum(1) + pair[1].sum()

    given = Inputs(((X, Y),), {"scale": Z}, free=(((1, "length"),), (), ((1, "length"),)))
    program = torchenv.capture(Summed(), given, dynamic_batch=False)()
    larger = given.larger()

    assert torch.equal(larger.call(program), larger.call(Summed()))
    with pytest.raises(Exception, match="size"):
        Inputs(((X, torch.cat([Y, Y])),), {"scale": Z}).call(program)
