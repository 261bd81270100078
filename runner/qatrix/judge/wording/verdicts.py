"""A case's verdict in words, and why it was not expected."""

from __future__ import annotations

from typing import Final

from qatrix.judge.wording.template import Template

# What did not run. `error` is the type of the error and the first line of its message.
INVALID_QUANTIZER: Final = Template("the quantizer does not fit this model: {error}")
INVALID_OPS: Final = Template("the quantizer names an op that this torch does not have: {error}")
INVALID_DATA: Final = Template("the case's data cannot be used: {error}")
INVALID_MODEL: Final = Template("the float model itself does not run: {error}")
SKIPPED: Final = Template("skipped: {reason}")
CRASHED: Final = Template("qatrix failed on this case: {error}")
UNAVAILABLE: Final = Template("not available here: {reasons}")
UNAVAILABLE_PIPELINE: Final = Template("{pipeline}: {reason}")
FAILED: Final = Template("{pipeline} failed at {stage}")
FAILED_WITH: Final = Template("{pipeline} failed at {stage}: {error}")
ERROR: Final = Template("{type}: {message}")
NO_MESSAGE: Final = Template("no message")

# A pipeline that did nothing.
NOTHING_PREPARED: Final = Template(
    "{pipeline} silently quantized nothing: there is no fake quantize or observer after prepare"
)
NOTHING_CONVERTED: Final = Template(
    "{pipeline} silently quantized nothing: there is no quantize or dequantize op after convert"
)
NOTHING_CHANGED: Final = Template("{pipeline} silently quantized nothing: its output equals the float model's")

# Outputs that differ. `where` is for instance "after convert", `place` a parameter in parentheses, or nothing.
# `steps` is their number in parentheses, or nothing.
DIFFER: Final = Template("{left} and {right} differ by {max_abs:.3g} {where}{place}{steps}")
DIFFER_FURTHER: Final = Template(", by {max_abs:.3g} {where}{place}")
CANNOT_BE_COMPARED: Final = Template("{left} and {right} cannot be compared {where}: {message}")
DIFFERS_FROM_REFERENCE: Final = Template("{side} differs from its reference by {max_abs:.3g}{steps}")
QUALITY_IN_RUNTIME: Final = Template("SQNR {sqnr_db:.1f} dB for {side}, {reference_db:.1f} dB for its reference")
FIRST_IN_RUNTIME: Final = Template("first difference at {layer}: {cause}")
CLOSER: Final = Template("{pipeline} is closer to the float model (SQNR {best_db:.1f} against {worst_db:.1f} dB)")
# In the order of the pipelines, as everywhere else.
EQUALLY_CLOSE: Final = Template(
    "equally close to the float model (SQNR {left} {left_db:.1f} and {right} {right_db:.1f} dB)"
)
FIRST: Final = Template("{summary}; first difference at {layer} after {at}")
FIRST_BECAUSE: Final = Template("{summary}; first difference at {layer} after {at}: {cause}")

# Checks that fail.
CHECK_FAILS: Final = Template("check {check} fails on {pipelines}: {message}")
NOT_AS_SPECIFIED: Final = Template("{pipelines} {do} not follow {their} quantizer (check {check}): {message}")
NOT_AS_SPECIFIED_ALONE: Final = Template(
    "{pipelines} {do} not follow {their} quantizer, but {others} {others_do} (check {check}): {message}"
)

# Nothing is wrong.
EXACT: Final = Template("bit-identical, and every check holds")
CLOSE: Final = Template("within tolerance (largest difference {max_abs:.3g}), and every check holds")
CHECKED: Final = Template("every check holds on {pipelines}")
LEFT_OUT: Final = Template("{pipeline} did not run: {reason}")

# What a case left behind in its process.
CHANGES_LEFT: Final = Template("{summary}; the case left changes behind: {changes}")
MORE: Final = Template("{count} more")

# Why a verdict was not expected. `source` is the entry's file and line.
NOT_COVERED: Final = Template("no entry under `expected` covers this case")
CHANGES_NOT_COVERED: Final = Template("no entry under `expected` covers what the case left behind")
OTHER_VERDICT: Final = Template("the entry at {source} expects {expected}, but the verdict is {verdict}")
NOW_GOOD: Final = Template(
    "the entry at {source} expects {expected}, but the verdict is {verdict}; if it stays this way, remove the entry"
)
OTHER_PIPELINE: Final = Template("the entry at {source} expects this of {pipeline}, which did not do it")
MORE_PIPELINES: Final = Template("the entry at {source} expects this only of {pipeline}, but {others} did it, too")
OTHER_FAILURE: Final = Template("the entry at {source} expects {wanted}, but {summary}")
MORE_CHECKS_FAIL: Final = Template("{verdict} as expected, but these checks also fail: {checks}")
CHECKS_HOLD: Final = Template("these checks were expected to fail, but they hold: {checks}")

# Moving from one pipeline in its runtime to another.
MOVING: Final = Template("after moving from {before} to {after}: {figures}")
GAINED: Final = Template("SQNR {gained:+.1f} dB")
AS_CLOSE: Final = Template("equally close to the float model")
SQNR_BECOMES: Final = Template("SQNR {before} becomes {after}")
OUTPUTS_EXACT: Final = Template("outputs bit-identical")
OUTPUTS_OF_ANOTHER_KIND: Final = Template("outputs of a different kind")
OUTPUTS_NOT_COMPARABLE: Final = Template("outputs cannot be compared: {message}")
OUTPUTS_DIFFER: Final = Template("outputs differ by up to {distance}")
