"""Where two programs, or a runtime and its reference, first differ, and which is closer to the float model."""

from __future__ import annotations

from typing import Final

from qatrix.judge.wording.template import Template

# The first layer that differs between two pipelines. `fused` is FUSED, or nothing; `steps` a number of steps in
# parentheses, or nothing.
FIRST_COMPUTED: Final = Template(
    "First difference after {at}: {layer}{fused}. Same inputs, outputs differ by {max_abs:.3g}{steps}."
)
FIRST_QUANTIZED: Final = Template(
    "First difference after {at}: {layer}{fused}. Same values, quantized values differ by {max_abs:.3g}{steps}."
)
FIRST_COMPUTED_UNLIKE: Final = Template(
    "First difference after {at}: {layer}{fused}. Same inputs, but the outputs cannot be compared."
)
FIRST_QUANTIZED_UNLIKE: Final = Template(
    "First difference after {at}: {layer}{fused}. Same values, but the quantized values cannot be compared."
)
FIRST_ALONE: Final = Template("First difference after {at}: {layer}{fused}. {note}.")
FUSED: Final = Template(" (fused with {layers})")
QUANTIZED_BY_ONE: Final = Template("{pipeline} quantizes it, but {other} leaves it in float")

# Which pipeline is closer to the float model, as in "pt2e SQNR 42.2 dB, fx equals the float model".
NO_FLOAT_VALUE: Final = Template("the float model has no value to compare with")
BOTH: Final = Template("{left} {left_quality}, {right} {right_quality}")
NOT_DECISIVE: Final = Template("{both}; less than {db:g} dB apart")
EQUALS_FLOAT: Final = Template("equals the float model")
SQNR: Final = Template("SQNR {sqnr_db:.1f} dB")
SQNR_OF_OFFSET: Final = Template("SQNR {sqnr_db:.1f} dB (noise {louder_db:.1f} dB above the variation between samples)")
QUANTIZES_NOTHING: Final = Template("{pipeline} quantizes nothing, so it stays close to float; {both}")
AT_FIRST: Final = Template("at the output, {output}; at {layer}, the first difference, {there}")

# The first op of a runtime that differs from its reference.
OP_DIFFERS: Final = Template("{layer}: given the same inputs, {op} differs from the reference by {amount}")
PART_DIFFERS: Final = Template(
    "{layer}: given the same inputs at {begin}, {op} differs from the reference by {amount}; {singly}"
)
EACH_OP_AGREES: Final = Template("by itself, no op from there on is off by more than one step")
NOT_EACH_OP_TRIED: Final = Template("not every op from there on could be tried by itself")
SEARCH_FAILED: Final = Template("the first difference was not found: {error}")
NO_GRAPH: Final = Template("the first difference was not searched for, because the program has no graph")
NOT_SEARCHED: Final = Template("the first difference was not searched for, because {reason}")
NOTHING_TO_CUT: Final = Template(
    "the first difference was not searched for, because no output that can be cut off is off by more than one step"
)
ONLY_AS_A_WHOLE: Final = Template(
    "the first difference was not found, because the whole program differs but none of its parts does"
)
SEARCH_ENDED: Final = Template("the search ended after {lowerings}")
PART_NOT_EQUAL: Final = Template("the part that ends at {end} is left out, because by itself it computes other values")
PART_NOT_LOWERED: Final = Template(
    "the part that ends at {end} is left out, because it cannot be lowered by itself: {error}"
)
