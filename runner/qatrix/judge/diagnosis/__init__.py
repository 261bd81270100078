"""Why two programs of one model differ: aligned by layer, compared, and the causes named.

`layout` lists the float model's layers; `placement` finds them in a program (`exported` in
aten ops, by the exporter's metadata; `quantizing` knows the nodes that quantize, `drawing`
those that draw random numbers); `sight` takes down what is known of a program; `localize`,
`parameters` and `codes` compare two of them; `causes` names what it recognises; `conclusion`
puts it together.
"""

from qatrix.judge.diagnosis.conclusion import conclude_diagnosis, diagnose_point
from qatrix.judge.diagnosis.layout import Layout, Site, layout_of
from qatrix.judge.diagnosis.placement import Placement, Probe, place
from qatrix.judge.diagnosis.sight import Sight, examine, graph_lines

__all__ = [
    "Layout",
    "Placement",
    "Probe",
    "Sight",
    "Site",
    "conclude_diagnosis",
    "diagnose_point",
    "examine",
    "graph_lines",
    "layout_of",
    "place",
]
