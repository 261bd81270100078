"""How an op's numbers come about: sums that do not fit, clamps that are missing, ties, the order of sums."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from qatrix.diagnoses import Cause
from qatrix.judge.lowering import products
from qatrix.judge.lowering.facts import DepartureFacts, near
from qatrix.judge.lowering.findings import counted, found
from qatrix.judge.wording import runtimes as words
from qatrix.text import steps

# Half the distance of two neighbors in float32, relative to them.
_ROUNDING: Final = 2.0**-24
# A kernel multiplies by the scales, adds the bias, divides by the output's scale, adds the zero point, rounding each.
_ROUNDINGS: Final = 4
_HALF: Final = 0.5
# What neighbors come to in two or three ops, or where a coarse grid is read by a finer one.
_MOST_STEPS: Final = 4.01
# The part of all values that may be off so far: a tie is rare.
_FEW: Final = 0.1


def saturates_in_16_bits(facts: DepartureFacts) -> Cause | None:
    """Pairs of products are added in 16 bits and do not fit, as without VNNI."""
    product, feature = facts.product, facts.pairing_feature
    # Where nobody knows the processor, the numbers must show it alone.
    if product is None or feature is None or facts.cpu.get(feature, False):
        return None
    paired = products.paired(product)
    if paired is None or not paired.saturated:
        return None
    wrong = ~_agree(facts, facts.reference.double())
    if not bool(wrong.any()) or not bool(_agree(facts, products.quantized(paired.values, facts)).all()):
        return None
    evidence = [
        words.OFF_BY_MORE(tolerance=_tolerance(facts), values=counted(wrong)),
        words.PAIRS_TOO_GREAT(pairs=paired.saturated, largest=paired.greatest),
        words.PAIRS_REPRODUCE(),
    ]
    if feature in facts.cpu:
        evidence.append(words.FEATURE_MISSING(feature=feature))
    return found(
        facts,
        "saturates_in_16_bits",
        "defect",
        words.SATURATES(layer=facts.departure.layer),
        evidence,
    )


def activation_lost(facts: DepartureFacts) -> Cause | None:
    """The runtime gives the op without the activation that belongs to it."""
    product = facts.product
    if product is None or product.fused == "none":
        return None
    bare = products.quantized(products.exact(product, activated=False), facts)
    wrong = ~_agree(facts, facts.reference.double())
    if not bool(wrong.any()) or not bool(_agree(facts, bare).all()):
        return None
    return found(
        facts,
        "activation_lost",
        "defect",
        words.ACTIVATION_LOST(runtime=facts.runtime, layer=facts.departure.layer, activation=product.fused),
        (words.VALUES_OFF(values=counted(wrong)), words.EQUAL_WITHOUT_ACTIVATION(activation=product.fused)),
    )


def range_not_kept(facts: DepartureFacts) -> Cause | None:
    """The runtime clamps its output at the ends of its integers, where the program has an inner range."""
    if facts.scale is None or facts.quant_min is None or facts.quant_max is None:
        return None
    low, high = ((end - facts.zero_point) * facts.scale for end in (facts.quant_min, facts.quant_max))
    beyond = ~near(facts.measured, facts.measured.double().clamp(low, high), facts.scale, steps=_HALF)
    clamped = near(facts.measured.double().clamp(low, high), facts.reference, facts.scale, steps=1)
    if not bool(beyond.any()) or not bool(clamped.all()):
        return None
    return found(
        facts,
        "range_not_kept",
        "by_design",
        words.RANGE_NOT_KEPT(
            runtime=facts.runtime, layer=facts.departure.layer, low=facts.quant_min, high=facts.quant_max
        ),
        (
            words.BEYOND_RANGE(low=facts.quant_min, high=facts.quant_max, values=counted(beyond)),
            words.EQUAL_IN_RANGE(),
        ),
    )


def rounding_ties(facts: DepartureFacts) -> Cause | None:
    """All values that differ do so by one step, and the exact value lies on the border of two steps."""
    value, differs = _exact(facts), facts.differs
    if facts.scale is None or value is None or not bool(differs.any()):
        return None
    steps = (facts.measured.double() - facts.reference.double())[differs].abs() / facts.scale
    border = ((value / facts.scale) % 1 - _HALF).abs()[differs]
    reach = _ROUNDINGS * _ROUNDING * 2 * _size(facts, value)[differs] / facts.scale
    if bool((torch.round(steps) != 1).any()) or bool((border > reach).any()):
        return None
    return found(
        facts,
        "rounding_ties",
        "by_design",
        words.ROUNDING_TIES(runtime=facts.runtime, layer=facts.departure.layer),
        (
            words.DIFFER_BY_ONE_STEP(values=counted(differs)),
            words.NEAR_TIE(distance=float(border.max())),
        ),
    )


def steps_add_up(facts: DepartureFacts) -> Cause | None:
    """No op is more than a step off by itself, few values are more than a step off in the end, and none is far off."""
    departure, differs = facts.departure, facts.differs
    if not facts.each_agrees or facts.scale is None or departure.max_steps is None or not bool(differs.any()):
        return None
    off = ~near(facts.measured, facts.reference, facts.scale, steps=1)
    if departure.max_steps > _MOST_STEPS or int(off.sum()) > _FEW * off.numel():
        return None
    return found(
        facts,
        "steps_add_up",
        "by_design",
        words.STEPS_ADD_UP(layer=departure.layer, steps=steps(str(round(departure.max_steps)))),
        (
            words.FEW_OFF(values=counted(off), most=round(departure.max_steps)),
            words.EACH_WITHIN_A_STEP(),
        ),
    )


def accumulates_in_another_order(facts: DepartureFacts) -> Cause | None:
    """The output is float, and differs by no more than sums of float32 do that are added up in another order."""
    product, differs = facts.product, facts.measured != facts.reference
    if facts.scale is not None or product is None or not bool(differs.any()):
        return None
    distance = (facts.measured.double() - facts.reference.double()).abs()
    # Either may be off the exact sum by as much.
    bound = 2 * products.terms(product) * _ROUNDING * products.magnitude(product)
    if bool((distance > bound).any()):
        return None
    return found(
        facts,
        "accumulates_in_another_order",
        "by_design",
        words.OTHER_ORDER(runtime=facts.runtime, layer=facts.departure.layer),
        (
            words.DIFFER_BY_AT_MOST(distance=float(distance.max()), values=counted(differs)),
            words.SUMS_MAY_DIFFER(terms=products.terms(product), bound=float(bound.max())),
        ),
    )


def _agree(facts: DepartureFacts, value: Tensor) -> Tensor:
    """The elements at which the runtime gives a value, within one step, or within the sums' rounding in float."""
    if facts.scale is not None or facts.product is None:
        return near(facts.measured, value, facts.scale, steps=1)
    # Both are sums of float32 where they are not exact.
    bound = 2 * products.terms(facts.product) * _ROUNDING * products.magnitude(facts.product)
    return (facts.measured.double() - value).abs() <= bound


def _tolerance(facts: DepartureFacts) -> str:
    return words.ROUNDING_OF_THE_SUM() if facts.scale is None else words.ONE_STEP()


def _exact(facts: DepartureFacts) -> Tensor | None:
    return facts.exact if facts.product is None else products.exact(facts.product)


def _size(facts: DepartureFacts, value: Tensor) -> Tensor:
    """What the roundings on the way to a value are relative to: the greatest number that is added there."""
    whole = value.abs() + abs(facts.zero_point) * (facts.scale or 0)
    return whole if facts.product is None else torch.maximum(whole, products.magnitude(facts.product))
