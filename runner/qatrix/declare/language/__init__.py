"""The small language: Python's syntax, parsed with `ast` and never run, in three dialects.

`parse_layer` and `parse_size` read what `layers` and `inputs` hold, `parse_forward` the lines
of a forward pass, `parse_graph` the lines of an expected graph. Each returns the tree, None
where there is a problem, and every problem it found.
"""

from __future__ import annotations

from qatrix.declare.language.forward import ForwardScope, parse_forward
from qatrix.declare.language.graph import parse_graph
from qatrix.declare.language.layers import parse_layer, parse_size
from qatrix.declare.language.text import Text, nearest

__all__ = ["ForwardScope", "Text", "nearest", "parse_forward", "parse_graph", "parse_layer", "parse_size"]
