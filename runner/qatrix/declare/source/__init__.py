"""Cases as Python source: model classes, inputs, quantizers, as one would write them by hand.

Nothing is compiled or run here. What the source does is what `pipelines` does with the same
case, to the bit.
"""

from __future__ import annotations

from qatrix.declare.source.cases import case_source

__all__ = ["case_source"]
