"""A batch norm in evaluation as a part of the layer before it, against torch's own two modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qatrix.judge.arbiter.folding import Layer, factor_of, layer_of
from qatrix.judge.graphs.layers import OUTPUT_AXIS

# float64 has 53 bits; a few hundred products are summed.
_EXACT = 1e-11


def normalizing(kind: Callable[..., Any], channels: int, **settings: Any) -> Any:
    """A batch norm in evaluation that has seen something, in float64."""
    norm = kind(channels, **settings).double().eval()
    generator = torch.Generator().manual_seed(1)
    for values in (norm.running_mean, norm.weight, norm.bias):
        if values is not None:
            values.data.normal_(generator=generator)
    norm.running_var.uniform_(0.1, 3, generator=generator)
    return norm


CASES = [
    pytest.param("conv", nn.Conv2d(3, 4, 3, bias=True), nn.BatchNorm2d, (2, 3, 6, 6), id="conv"),
    pytest.param("conv", nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d, (2, 3, 6, 6), id="conv without a bias"),
    pytest.param("conv", nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d, (2, 4, 9), id="conv with groups"),
    pytest.param("conv", nn.Conv2d(4, 4, 3, groups=4), nn.BatchNorm2d, (2, 4, 6, 6), id="depthwise"),
    pytest.param("conv", nn.Conv3d(2, 3, 2), nn.BatchNorm3d, (1, 2, 4, 4, 4), id="conv in three dimensions"),
    pytest.param("conv_transpose", nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d, (2, 3, 4, 4), id="transposed"),
    pytest.param(
        "conv_transpose",
        nn.ConvTranspose2d(4, 6, 3, groups=2, stride=2, bias=False),
        nn.BatchNorm2d,
        (2, 4, 4, 4),
        id="transposed with groups",
    ),
    pytest.param("conv_transpose", nn.ConvTranspose1d(6, 3, 3, groups=3), nn.BatchNorm1d, (2, 6, 5), id="one a group"),
    pytest.param("linear", nn.Linear(5, 4), nn.BatchNorm1d, (3, 5), id="linear"),
    pytest.param("linear", nn.Linear(5, 4, bias=False), nn.BatchNorm1d, (3, 5), id="linear without a bias"),
]


@pytest.mark.parametrize(("op", "module", "kind", "shape"), CASES)
@pytest.mark.parametrize("settings", [{}, {"affine": False}, {"eps": 0.1}], ids=["usual", "not affine", "great eps"])
def test_the_folded_layer_gives_what_the_two_give(
    op: str, module: nn.Module, kind: Callable[..., Any], shape: tuple[int, ...], settings: dict[str, Any]
) -> None:
    module = module.double()
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    channels = module(x).shape[1]
    norm = normalizing(kind, channels, **settings)
    layer = layer_of(module, op)
    assert layer is not None

    folded = layer.folded(norm)

    assert folded.bias is not None
    bias = folded.bias.reshape(1, -1, *[1] * (x.ndim - 2))
    made = torch.func.functional_call(module, {"weight": folded.weight}, (x,))
    own = 0 if layer.bias is None else layer.bias.reshape(bias.shape)
    torch.testing.assert_close(made - own + bias, norm(module(x)), rtol=_EXACT, atol=_EXACT)


@pytest.mark.parametrize(("op", "module", "kind", "shape"), CASES)
def test_scaling_by_a_factor_and_by_its_inverse_changes_nothing(
    op: str, module: nn.Module, kind: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    layer = layer_of(module.double(), op)
    assert layer is not None
    channels = module(torch.zeros(shape, dtype=torch.float64)).shape[1]
    factor = torch.linspace(0.5, 2, channels, dtype=torch.float64)

    torch.testing.assert_close(layer.scaled(factor).scaled(1 / factor).weight, layer.weight, rtol=_EXACT, atol=_EXACT)


def test_the_factor_is_gamma_by_the_square_root_of_variance_and_eps() -> None:
    norm: Any = nn.BatchNorm2d(2, eps=0.25).double()
    norm.running_var.copy_(torch.tensor([0.75, 3.75]))
    norm.weight.data.copy_(torch.tensor([3.0, -6.0]))

    # 3 / sqrt(0.75 + 0.25) and -6 / sqrt(3.75 + 0.25).
    assert factor_of(norm).tolist() == [3.0, -3.0]


def test_the_bias_of_a_folded_layer_is_shifted_by_the_mean() -> None:
    norm: Any = nn.BatchNorm1d(1, eps=0.25).double()
    for values, number in ((norm.running_mean, 2.0), (norm.running_var, 3.75), (norm.weight, 4.0), (norm.bias, 7.0)):
        values.data.fill_(number)
    layer = Layer(weight=torch.full((1, 1), 3.0).double(), bias=torch.tensor([5.0]).double(), axis=0)

    # The factor is 4 / 2; 3 * 2, and (5 - 2) * 2 + 7.
    folded = layer.folded(norm)

    assert (folded.weight.tolist(), folded.bias.tolist() if folded.bias is not None else None) == ([[6.0]], [13.0])


@pytest.mark.parametrize("op", list(OUTPUT_AXIS))
def test_a_module_without_a_weight_is_no_layer(op: str) -> None:
    assert layer_of(nn.ReLU(), op) is None


def test_an_op_that_has_no_channels_is_no_layer() -> None:
    assert layer_of(nn.Embedding(3, 2), "embedding") is None


def test_a_layer_in_single_precision_is_in_float32() -> None:
    layer = Layer(weight=torch.ones(1, 1).double(), bias=torch.ones(1).double(), axis=0)
    made: tuple[Tensor | None, Tensor | None] = (layer.single().weight, layer.single().bias)

    assert [item.dtype for item in made if item is not None] == [torch.float32, torch.float32]
