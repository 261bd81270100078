"""All facts about two programs at a point, and about a case over its points."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qatrix.claims import Tolerance
from qatrix.diagnoses import Diagnosis, Divergence, GraphText, PointDiagnosis
from qatrix.judge.diagnosis.causes import Facts, find_causes
from qatrix.judge.diagnosis.codes import code_rows
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.localize import first_divergence, layer_rows, nearer, sqnr
from qatrix.judge.diagnosis.parameters import parameter_rows
from qatrix.judge.diagnosis.sight import Sight


def diagnose_point(
    at: str,
    layout: Layout,
    left: Sight,
    right: Sight,
    *,
    reference: Callable[[str], object],
    output: object,
    tolerance: Tolerance,
) -> PointDiagnosis:
    """Two programs at one point: layers, parameters, codes, who is nearer, the graphs as text.

    `reference` gives the float model's value of a site, `output` is what it returns.
    """
    names = (left.pipeline, right.pipeline)
    rows = layer_rows(layout, left, right, reference=reference, tolerance=tolerance)
    first = first_divergence(layout, rows, at=at, names=names)
    decibels = (sqnr(output, left.outputs), sqnr(output, right.outputs))
    closer, because = nearer(names, *decibels)
    return PointDiagnosis(
        at=at,
        layers=rows,
        first=first,
        parameters=parameter_rows(left.tensors, right.tensors),
        codes=code_rows(layout, left, right, tolerance=tolerance),
        sqnr_db=dict(zip(names, decibels)),
        nearer=closer,
        nearer_because=because,
        graphs=tuple(_text(layout, sight, first) for sight in (left, right)),
    )


def conclude_diagnosis(
    names: tuple[str, str],
    points: tuple[PointDiagnosis, ...],
    sights: Mapping[str, tuple[Sight | None, Sight | None]],
    layout: Layout,
    notes: tuple[str, ...],
) -> Diagnosis:
    """A case over its points, with the causes that are recognised."""
    first = next((point.first for point in points if point.first is not None), None)
    pairs = {at: (left, right) for at, (left, right) in sights.items() if left is not None and right is not None}
    facts = Facts(names=names, layout=layout, points={point.at: point for point in points}, sights=pairs, first=first)
    return Diagnosis(
        left=names[0],
        right=names[1],
        first=first,
        nearer=points[-1].nearer if points else None,
        nearer_because=points[-1].nearer_because if points else None,
        causes=find_causes(facts),
        points=points,
        notes=notes,
    )


def _text(layout: Layout, sight: Sight, first: Divergence | None) -> GraphText:
    return GraphText(pipeline=sight.pipeline, lines=sight.lines, first_differing=_line(layout, sight, first))


def _line(layout: Layout, sight: Sight, first: Divergence | None) -> int | None:
    """The line of the node whose value is the first to differ."""
    if first is None:
        return None
    key = next(site.key for site in layout.sites.values() if site.name == first.layer)
    probe = sight.placement.computed.get(key)
    node = probe.node if probe is not None else None
    if first.value == "quantized" and key in sight.placement.quantized:
        node = sight.placement.quantized[key].node.name
    return list(sight.labels).index(node) if node in sight.labels else None
