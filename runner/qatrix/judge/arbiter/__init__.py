"""An independent reference: what a faultless implementation of a program's own specification computes, in float64.

A pipeline may quantize more or less than another, and by other rules; that is its design. What
its observers say is its specification, and every layer of its programs can be held against
that: each value against float64 arithmetic on what the layer read in that program, each weight
and each integer against rounding, each scale and zero point against what was observed. A layer
is judged by its own inputs, so that what one layer does wrong is not told of the next.

`grids` rounds, `groups` finds what a program computes as one and what that reads, `folding`
puts batch norms into layers, `evaluation` computes the float model's layers in float64, `specifications` compares
parameters and `weights` weights, and `witness` watches a program run.
"""

from qatrix.judge.arbiter.averages import Averages
from qatrix.judge.arbiter.deviations import Deviation, Point
from qatrix.judge.arbiter.evaluation import FloatModel, in_double
from qatrix.judge.arbiter.specifications import Integers, Specified
from qatrix.judge.arbiter.witness import Witness

__all__ = ["Averages", "Deviation", "FloatModel", "Integers", "Point", "Specified", "Witness", "in_double"]
