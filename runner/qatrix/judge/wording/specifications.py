"""What a program does otherwise than its own quantizer says, layer by layer.

Each sentence follows the name of a layer or a tensor, as in "conv after convert: its scale is 0.1, but …".
"""

from __future__ import annotations

from typing import Final

from qatrix.judge.wording.template import Template

# Ranges, scales and zero points.
AVERAGE_IS_OFF: Final = Template(
    "its range after training is {off:.3g} away from the average of what its observer saw, so its scale is wrong"
)
OBSERVER_SCALE: Final = Template("its observer gives a scale of {found}, but the observed range gives {expected}")
OBSERVER_ZERO_POINT: Final = Template(
    "its observer gives a zero point of {found}, which does not fit the observed range"
)
CHANNELS: Final = Template("it has {scales}, but {channels}")
SCALE_OF_RANGE: Final = Template("its scale is {found}, but its range gives {expected}")
ZERO_POINT_OF_SYMMETRIC: Final = Template("its zero point is {found}, although its range is symmetric")
INTEGERS: Final = Template("{dtype} from {low} to {high}")
RANGE_NOT_ALLOWED: Final = Template("its range of integers is {integers}, which its quantizer never uses")
NOT_OBSERVED: Final = Template("it is quantized, although nothing has observed it")
LEFT_IN_FLOAT: Final = Template("it was observed, but it is left in float")
IN_A_ROW: Final = Template("it is quantized {times} times in a row")
SETTING: Final = Template("its {setting} is {found}, but {expected} was specified")
OBSERVED_SCALES: Final = Template("it has {scales}, but {observed} {were} observed")
SCALE: Final = Template("its scale is {found}, but {expected} was observed")
ZERO_POINT: Final = Template("its zero point is {found}, but {expected} was observed")
DEQUANTIZED_OTHERWISE: Final = Template(
    "its {quantity} is {quantized} where it is quantized, but {dequantized} where it is dequantized"
)

# Values and weights.
NOT_ROUNDED: Final = Template("{count} of its {values} {are} not rounded to the nearest integer")
WEIGHT_IS_OFF: Final = Template("its weight differs from the float model's by up to {off}")
WEIGHT_NOT_ROUNDED: Final = Template(
    "{count} of the {values} of its weight {are} not the integers nearest to the float model's, off by up to {off}"
)
SHAPE: Final = Template("its value has the shape {found}, but float64 gives {expected}")
VALUE: Final = Template("its {quantity} differs by up to {off:.3g} from what float64 computes from the same inputs")

# Outputs.
THE_OUTPUT: Final = Template("the output")
OUTPUT: Final = Template("output {number}")
NOT_ITS_VALUE: Final = Template("{output} is not its value")
VALUE_OF_ANOTHER: Final = Template("the output is the value of {layer}")
