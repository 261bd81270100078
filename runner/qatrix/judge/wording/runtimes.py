"""Why a runtime differs from its reference: a sentence for each cause, then the evidence for it.

`values` is for instance "12 of 96 values".
"""

from __future__ import annotations

from typing import Final

from qatrix.judge.wording.template import Template

UNEXPLAINED: Final = Template("no known cause explains why {layer} differs on {runtime}")
VALUES: Final = Template("{count} of {values}")
ONE_STEP: Final = Template("one step")
ROUNDING_OF_THE_SUM: Final = Template("float32 rounding of the sum")
OFF_BY_MORE: Final = Template("off by more than {tolerance}: {values}")

SATURATES: Final = Template(
    "the int8 kernel of {layer} saturates: without VNNI it adds pairs of products in 16 bits, which is too few for "
    "activations of eight bits; a quantizer with reduce_range uses seven"
)
PAIRS_TOO_GREAT: Final = Template("pairs of products too large for 16 bits: {pairs}; the largest sum is {largest}")
PAIRS_REPRODUCE: Final = Template("adding the pairs in 16 bits, with saturation, reproduces all values of the runtime")
FEATURE_MISSING: Final = Template("the processor does not have {feature}")
ACTIVATION_LOST: Final = Template("{runtime} computes {layer} without the {activation} that is fused into it")
VALUES_OFF: Final = Template("different values: {values}")
EQUAL_WITHOUT_ACTIVATION: Final = Template("without {activation}, the op gives all values of the runtime")
RANGE_NOT_KEPT: Final = Template(
    "{runtime} clamps the output of {layer} at the ends of its integer type, but the reference at {low} and {high}"
)
BEYOND_RANGE: Final = Template("outside {low} to {high}: {values}")
EQUAL_IN_RANGE: Final = Template("clamped to that range, all values are within one step of the reference")
ROUNDING_TIES: Final = Template(
    "{runtime} and the reference round {layer} differently, because the exact values lie halfway between two steps"
)
DIFFER_BY_ONE_STEP: Final = Template("different by one step: {values}")
NEAR_TIE: Final = Template(
    "float32 rounding explains it: the exact values are at most {distance:.2g} steps away from halfway"
)
STEPS_ADD_UP: Final = Template(
    "no op up to {layer} is off by more than one step by itself, but their rounding errors add up to {steps} there"
)
FEW_OFF: Final = Template("off by more than one step: {values}; none by more than {most}")
EACH_WITHIN_A_STEP: Final = Template("given the reference's values, each op is within one step by itself")
OTHER_ORDER: Final = Template("{runtime} adds up {layer} in a different order than the reference")
DIFFER_BY_AT_MOST: Final = Template("different by at most {distance:.2g}: {values}")
SUMS_MAY_DIFFER: Final = Template("float32 sums of {terms} terms may differ by {bound:.2g} here")

MEMORY_ORDER_LOST: Final = Template(
    "{op} copies the values of a channels-last tensor into a contiguous one without reordering them, "
    "so that they end up in the wrong places"
)
QNNPACK_CLAMP: Final = Template("qnnpack's clamp")
OP_ON_RUNTIME: Final = Template("{op} on {runtime}")
REORDERED_EQUAL: Final = Template(
    "the reference's channels-last memory, read as contiguous memory, gives all values of the runtime"
)
RANGES_OF_VALUES: Final = Template("the runtime's values range from {measured}, the reference's from {reference}")
FORMAT_NOT_KEPT: Final = Template("{source} allocates the output without the input's memory format")
FROM_TO: Final = Template("{low:.6g} to {high:.6g}")
IN_FLOAT: Final = Template("{runtime} computes {layer} in floating point, although the quantizer quantizes it")
RUNS_IN_FLOAT: Final = Template("{runtime} runs {op} for it")
RUNS_IN_FLOAT_BECAUSE: Final = Template("{runtime} runs {op} for it: {reason}")
ARE_OFF: Final = Template("{values} are off")
ARE_OFF_A_STEP: Final = Template("{values} are off by more than one step")
