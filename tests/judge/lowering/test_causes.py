"""Causes of departures: each is recognised by what shows it, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from qatrix.diagnoses import Cause
from qatrix.judge.lowering import Product, causes, products
from qatrix.lowerings import FloatOp, Ran
from support.departures import WITHOUT_VNNI, codes, departure, facts, linear

# Two products of 255 and 127 are 64770, and 32767 is the greatest number of 16 bits; -255 * 128 * 2 is -65280.
TOO_GREAT = linear([[255, 255, 1, 0]], [[127, 127, 5, 9], [-128, -128, 5, 9], [1, 2, 3, 4]])
EXACT = torch.tensor([[64775.0, -65275.0, 768.0]])
SATURATED = torch.tensor([[32772.0, -32763.0, 768.0]])


def names(found: tuple[Cause, ...]) -> list[str]:
    return [cause.name for cause in found]


def test_pairs_that_do_not_fit_into_16_bits_are_shown_by_adding_them_so() -> None:
    (cause,) = causes(facts(EXACT, SATURATED, product=TOO_GREAT))

    assert cause.name == "saturates_in_16_bits"
    assert cause.kind == "defect"
    assert cause.evidence == (
        "off by more than float32 rounding of the sum: 2 of 3 values",
        "pairs of products too large for 16 bits: 2; the largest sum is 65280",
        "adding the pairs in 16 bits, with saturation, reproduces all values of the runtime",
        "the processor does not have onednn_vnni",
    )


def test_the_exact_value_of_a_product_is_that_of_its_integers() -> None:
    assert torch.equal(products.exact(TOO_GREAT), EXACT.double())


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": WITHOUT_VNNI | {"onednn_vnni": True, "vnni": True}},
        {"runtime": "executorch", "departure": departure(kernel="xnnpack")},
        {"runtime": "native", "options": {"engine": "qnnpack"}},
        {"measured": torch.tensor([[32772.0, -32763.0, 760.0]])},
        {"product": linear([[127, 127, 1, 0]], [[127, 127, 5, 9], [-128, -128, 5, 9], [1, 2, 3, 4]])},
    ],
    ids=["VNNI is there", "another runtime", "another engine", "a value is another", "seven bits fit"],
)
def test_saturation_is_not_told_where_something_speaks_against_it(change: dict[str, Any]) -> None:
    assert names(causes(replace(facts(EXACT, SATURATED, product=TOO_GREAT), **change))) == ["unexplained"]


def test_a_convolution_adds_neighboring_channels_of_one_place() -> None:
    # Channels 0 and 1 make a pair, channel 2 is alone; the padding takes no part though the zero point is 100.
    activation = codes(torch.full((1, 3, 2, 2), 250), zero_point=100)
    weight = codes(torch.full((1, 3, 3, 3), 127), ends=(-128, 127))
    product = Product(kind="conv", activation=activation, weight=weight, padding=(1, 1))
    paired = products.paired(product)

    assert paired is not None
    # Each value sees four places: four pairs of 63500, which become 32767, and four products of 31750.
    assert torch.equal(paired.values, torch.full((1, 1, 2, 2), 4.0 * (32767 + 31750) - 4 * 3 * 127 * 100).double())
    assert (paired.saturated, paired.greatest) == (16, 63500)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(2, 4, 7), (2, 4, 7, 6)], ids=["1d", "2d"])
def test_pairs_that_fit_give_the_exact_value(groups: int, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    activation = codes(torch.randint(0, 128, shape, generator=generator), scale=0.1, zero_point=60)
    size = (6, 4 // groups, *[3] * (len(shape) - 2))
    weight = codes(
        torch.randint(-128, 128, size, generator=generator),
        scale=torch.rand(6, generator=generator, dtype=torch.float64),
        zero_point=torch.zeros(6, dtype=torch.int64),
        ends=(-128, 127),
    )
    axes = len(shape) - 2
    product = Product(
        kind="conv",
        activation=activation,
        weight=weight,
        bias=torch.rand(6, generator=generator),
        stride=(2,) * axes,
        padding=(1,) * axes,
        dilation=(2,) * axes,
        groups=groups,
    )
    paired = products.paired(product)

    assert paired is not None
    assert paired.saturated == 0
    torch.testing.assert_close(paired.values, products.exact(product), rtol=1e-12, atol=1e-12)


def test_values_in_the_order_of_channels_last_memory_are_in_the_wrong_places() -> None:
    reference = torch.arange(24.0).reshape(1, 2, 3, 4)
    measured = reference.permute(0, 2, 3, 1).reshape(1, 2, 3, 4)
    clamp = departure("act", "hardtanh", kernel="nn.ReLU6")
    (cause,) = causes(
        facts(reference, measured, scale=0.5, runtime="native", options={"engine": "qnnpack"}, departure=clamp)
    )

    assert cause.name == "memory_order_lost"
    assert cause.sentence.startswith("qnnpack's clamp copies the values of a channels-last tensor")
    assert cause.evidence[0] == "off by more than one step: 22 of 24 values"
    assert cause.evidence[-1] == "the runtime's values range from 0 to 23, the reference's from 0 to 23"


def test_values_in_any_other_order_are_not_explained() -> None:
    reference = torch.arange(24.0).reshape(1, 2, 3, 4)

    assert names(causes(facts(reference, reference.flip(-1), scale=0.5))) == ["unexplained"]


def test_a_tie_is_told_where_the_exact_value_lies_on_the_border() -> None:
    exact = torch.tensor([0.5, 1.5, 0.7], dtype=torch.float64)
    reference, measured = torch.tensor([0.0, 2.0, 1.0]), torch.tensor([1.0, 2.0, 1.0])
    (cause,) = causes(facts(reference, measured, scale=1.0, exact=exact))

    assert (cause.name, cause.kind) == ("rounding_ties", "by_design")
    assert cause.evidence[0] == "different by one step: 1 of 3 values"


@pytest.mark.parametrize(
    ("exact", "measured"), [(0.51, 1.0), (0.5, 2.0)], ids=["not on the border", "off by two steps"]
)
def test_a_value_that_is_no_tie_is_not_explained_by_one(exact: float, measured: float) -> None:
    given = facts(
        torch.tensor([0.0]), torch.tensor([measured]), scale=1.0, exact=torch.tensor([exact], dtype=torch.float64)
    )

    assert names(causes(given)) == ["unexplained"]


def summed(product: Product, *, backwards: bool) -> Tensor:
    """A linear op's value, added up in float32 one after the other."""
    terms = (product.activation.codes * product.activation.scale).float() * product.weight.codes.float()
    total = torch.zeros(())
    for term in terms.flatten().flip(0) if backwards else terms.flatten():
        total = total + term
    return total.reshape(1, 1)


def test_float_sums_of_another_order_are_told_by_their_bound() -> None:
    generator = torch.Generator().manual_seed(3)
    activation = codes(torch.randint(0, 256, (1, 64), generator=generator), scale=0.0137)
    weight = codes(torch.randint(-128, 128, (1, 64), generator=generator), ends=(-128, 127))
    product = Product(kind="linear", activation=activation, weight=weight)
    forwards, backwards = (summed(product, backwards=way) for way in (False, True))
    assert not torch.equal(forwards, backwards)
    kept = facts(forwards, backwards, product=product, runtime="exported")

    assert names(causes(kept)) == ["accumulates_in_another_order"]
    assert names(causes(replace(kept, measured=forwards + 0.1))) == ["unexplained"]


def test_an_activation_that_is_lost_leaves_the_op_without_it() -> None:
    product = linear([[1, 2]], [[3, 4], [-3, -4]], fused="relu")
    kept = facts(torch.tensor([[11.0, 0.0]]), torch.tensor([[11.0, -11.0]]), product=product)
    (cause,) = causes(kept)

    assert cause.name == "activation_lost"
    assert cause.evidence == ("different values: 1 of 2 values", "without relu, the op gives all values of the runtime")
    assert names(causes(replace(kept, product=replace(product, fused="none")))) == ["unexplained"]


def test_a_range_that_is_not_kept_shows_where_values_lie_outside_it() -> None:
    reference, measured = torch.tensor([100.0, 127.0, 127.0]), torch.tensor([100.0, 127.0, 140.0])
    kept = facts(reference, measured, scale=1.0, quant_min=0, quant_max=127)

    assert names(causes(kept)) == ["range_not_kept"]
    assert names(causes(replace(kept, measured=torch.tensor([90.0, 127.0, 140.0])))) == ["unexplained"]


def test_an_op_that_runs_in_float_is_named_by_the_runtime() -> None:
    ran = Ran(float_ops=(FloatOp(op="aten.mul.Tensor", layer="mul", because="no pattern took it"),))
    kept = facts(torch.zeros(2), torch.ones(2), ran=ran, departure=departure("mul", "mul"))
    (cause,) = causes(kept)

    assert cause.name == "fell_back_to_float"
    assert cause.evidence == (
        "inductor runs aten.mul.Tensor for it: no pattern took it",
        "2 of 2 values are off",
        "the runtime's values range from 1 to 1, the reference's from 0 to 0",
    )
    assert names(causes(replace(kept, departure=departure("conv")))) == ["unexplained"]


def test_roundings_of_several_ops_add_up() -> None:
    reference = torch.arange(100.0)
    measured = reference.clone()
    measured[:5] += 3
    apart = departure("add", max_steps=3.0, alone=False)

    (cause,) = causes(facts(reference, measured, scale=1.0, departure=apart, each_agrees=True))

    assert (cause.name, cause.kind) == ("steps_add_up", "by_design")
    assert cause.sentence == (
        "no op up to add is off by more than one step by itself, but their rounding errors add up to 3 steps there"
    )


@pytest.mark.parametrize(
    ("count", "steps", "each_agrees"),
    [(5, 3.0, False), (5, 9.0, True), (50, 3.0, True)],
    ids=["an op was not tried", "far off", "in many values"],
)
def test_what_is_no_sum_of_roundings_is_not_explained_by_it(count: int, steps: float, each_agrees: bool) -> None:
    reference = torch.arange(100.0)
    measured = reference.clone()
    measured[:count] += steps
    apart = departure("add", max_steps=steps, alone=False)
    kept = facts(reference, measured, scale=1.0, departure=apart, each_agrees=each_agrees)

    assert names(causes(kept)) == ["unexplained"]


def test_another_order_of_memory_is_told_beside_a_few_roundings() -> None:
    reference = torch.arange(240.0).reshape(2, 5, 4, 6)
    measured = reference.movedim(1, -1).reshape(reference.shape).clone()
    measured[0, 0, 0, :3] += 2

    (cause,) = causes(facts(reference, measured, scale=1.0))

    assert cause.name == "memory_order_lost"
