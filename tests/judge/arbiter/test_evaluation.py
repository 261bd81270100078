"""The layers of a float model in float64, each by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from qatrix.judge.arbiter.evaluation import CannotJudgeError, in_double
from qatrix.judge.arbiter.folding import Layer
from support.watched import IMAGE, ConvBnRelu, drawn, float_model

pytestmark = pytest.mark.torch

IMAGE_64 = IMAGE.double()
VECTORS = drawn(3, 4)


class Functions(nn.Module):
    """Layers that are functions and methods, and one that draws."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(drawn(5, 4))
        self.bias = nn.Parameter(drawn(5))

    def forward(self, x: Tensor) -> Tensor:
        """The shuffled values of a linear function."""
        y = functional.linear(x, self.weight, self.bias)
        y = y.reshape(y.shape[0], 5, 1)
        return functional.dropout(y, 0.5, training=True)


def test_a_module_is_computed_in_float64() -> None:
    model = ConvBnRelu()
    value = float_model(model, IMAGE).compute("conv", {"x": IMAGE_64})

    assert isinstance(value, Tensor)
    assert value.dtype == torch.float64
    torch.testing.assert_close(value, model.double().conv(IMAGE_64), rtol=0, atol=0)


def test_a_layer_is_computed_on_what_it_is_given_and_not_on_what_the_model_computes() -> None:
    given = torch.full((1, 4, 1, 1), -2.0, dtype=torch.float64)
    value = float_model(ConvBnRelu(), IMAGE).compute("relu", {"bn": given})

    assert isinstance(value, Tensor)
    assert value.flatten().tolist() == [0.0] * 4


def test_another_weight_and_bias_can_be_told() -> None:
    model = ConvBnRelu()
    layer = Layer(weight=drawn(4, 3, 3, 3, seed=5).double(), bias=drawn(4, seed=6).double(), axis=0)
    value = float_model(model, IMAGE).compute("conv", {"x": IMAGE_64}, layer)

    assert isinstance(value, Tensor)
    torch.testing.assert_close(value, functional.conv2d(IMAGE_64, layer.weight, layer.bias), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("module", "shape", "channels"),
    [
        pytest.param(nn.Conv2d(3, 4, 3, bias=False), (2, 3, 6, 6), 1, id="conv"),
        pytest.param(nn.Conv2d(3, 4, 3, bias=False), (3, 6, 6), 0, id="conv of one sample without a batch"),
        pytest.param(nn.ConvTranspose1d(3, 4, 3, bias=False), (2, 3, 6), 1, id="transposed"),
        pytest.param(nn.Linear(3, 4, bias=False), (2, 3), -1, id="linear"),
        pytest.param(nn.Linear(3, 4, bias=False), (2, 5, 3), -1, id="linear of three dimensions"),
    ],
)
def test_a_folded_bias_is_added_where_the_module_has_none(
    module: nn.Module, shape: tuple[int, ...], channels: int
) -> None:
    x, bias = drawn(*shape), torch.arange(1.0, 5).double()
    known = float_model(nn.Sequential(module), x)
    (weight,) = module.parameters()
    layer = Layer(weight=weight.detach().double(), bias=bias, axis=0)
    without = known.compute("_0", {"input_1": x.double()})
    value = known.compute("_0", {"input_1": x.double()}, layer)

    assert isinstance(value, Tensor)
    assert isinstance(without, Tensor)
    moved = (value - without).movedim(channels, -1)
    torch.testing.assert_close(moved, bias.expand_as(moved))


def test_in_single_precision_everything_is_float32_and_nothing_is_moved() -> None:
    model = float_model(ConvBnRelu(), IMAGE, trains=True)
    norm = model.norm("bn")
    assert norm is not None
    assert norm.running_mean is not None
    before = norm.running_mean.clone()
    value = model.compute("bn", {"conv": drawn(2, 4, 3, 3).double()}, single=True)

    assert isinstance(value, Tensor)
    assert value.dtype == torch.float32
    assert torch.equal(norm.running_mean, before)


def test_a_batch_norm_in_training_moves_its_statistics() -> None:
    model = float_model(ConvBnRelu(), IMAGE, trains=True)
    norm = model.norm("bn")
    assert norm is not None
    assert norm.running_mean is not None
    before, given = norm.running_mean.clone(), drawn(2, 4, 3, 3).double()
    model.compute("bn", {"conv": given})

    torch.testing.assert_close(norm.running_mean, 0.9 * before + 0.1 * given.mean((0, 2, 3)))


def test_functions_and_methods_are_computed_with_the_sizes_that_the_model_has() -> None:
    model = float_model(Functions(), VECTORS)
    linear = model.compute("linear", {"x": VECTORS.double()})
    shaped = model.compute("reshape", {"linear": linear})

    assert isinstance(linear, Tensor)
    assert isinstance(shaped, Tensor)
    expected = VECTORS.double() @ drawn(5, 4).double().T + drawn(5).double()
    torch.testing.assert_close(linear, expected, rtol=1e-12, atol=1e-12)
    assert shaped.shape == (3, 5, 1)


def test_a_function_s_weight_is_known_and_can_be_told() -> None:
    model = float_model(Functions(), VECTORS)
    layer = model.layer("linear")
    assert layer is not None
    value = model.compute("linear", {"x": VECTORS.double()}, layer.having(torch.zeros(5, 4).double()))

    assert isinstance(value, Tensor)
    torch.testing.assert_close(value, drawn(5).double().expand(3, 5))


def test_what_draws_at_random_says_so() -> None:
    model = float_model(Functions(), VECTORS)

    assert [key for key in ("linear", "reshape", "dropout") if model.draws_at_random(key)] == ["dropout"]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        pytest.param({}, "x is not known", id="a value that is missing"),
        pytest.param({"x": drawn(2, 5, 6, 6).double()}, "expected input", id="another number of channels"),
    ],
)
def test_what_cannot_be_computed_says_why(known: dict[str, Tensor], why: str) -> None:
    with pytest.raises(CannotJudgeError, match=why):
        float_model(ConvBnRelu(), IMAGE).compute("conv", known)


def test_the_batch_norm_behind_a_layer_is_the_one_with_statistics() -> None:
    model = ConvBnRelu()
    known = float_model(model, IMAGE)
    model.bn = nn.BatchNorm2d(4, track_running_stats=False)

    assert known.norm_behind("conv") == "bn"
    assert known.norm_behind("bn") is None
    assert float_model(model, IMAGE).norm_behind("conv") is None


@pytest.mark.parametrize("trains", [False, True])
def test_a_module_trains_where_the_model_does(trains: bool) -> None:
    assert float_model(ConvBnRelu(), IMAGE, trains=trains).trains("bn") is trains


def test_floating_point_numbers_become_float64_and_nothing_else_does() -> None:
    given = {"a": [torch.ones(1), torch.ones(1, dtype=torch.int8)], "b": (3, None)}
    made = in_double(given)

    assert isinstance(made, dict)
    assert [item.dtype for item in made["a"]] == [torch.float64, torch.int8]
    assert made["b"] == (3, None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_what_is_kept_has_memory_of_its_own(dtype: torch.dtype) -> None:
    given = torch.ones(2, dtype=dtype)
    made = in_double(given)
    given.zero_()

    assert isinstance(made, Tensor)
    assert made.tolist() == [1, 1]
