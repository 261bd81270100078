"""All facts about two programs at a point, and about a case over its points."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qatrix.claims import Tolerance
from qatrix.diagnoses import Diagnosis, Divergence, GraphText, ParameterRow, PointDiagnosis
from qatrix.judge.diagnosis.causes import Facts, find_causes
from qatrix.judge.diagnosis.codes import code_rows
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.localize import first_divergence, idle, layer_rows
from qatrix.judge.diagnosis.nearness import nearer, nearness, of_row
from qatrix.judge.diagnosis.parameters import parameter_rows
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.wording import differences as words


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
    first = first_divergence(layout, rows, at=at)
    near = {sight.pipeline: nearness(output, sight.outputs) for sight in (left, right)}
    closer, because = nearer(names, *near.values())
    unquantized = idle(left, right)
    if unquantized is not None:
        closer, because = None, words.QUANTIZES_NOTHING(pipeline=unquantized, both=because)
    return PointDiagnosis(
        at=at,
        layers=rows,
        first=first,
        parameters=_parameters(left, right),
        codes=code_rows(layout, left, right, tolerance=tolerance),
        sqnr_db={name: item.sqnr_db for name, item in near.items()},
        variation_db={name: item.variation_db for name, item in near.items()},
        nearer=closer,
        nearer_because=because,
        graphs=tuple(_text(layout, sight, first) for sight in (left, right)),
    )


def _parameters(left: Sight, right: Sight) -> tuple[ParameterRow, ...]:
    """How both quantize each tensor; of an opaque program what it says nothing of is not known to be in float."""
    rows = parameter_rows(left.tensors, right.tensors)
    unknown = {"left_only"} if right.opaque else set()
    unknown |= {"right_only"} if left.opaque else set()
    return tuple(row for row in rows if row.status not in unknown)


def conclude_diagnosis(
    names: tuple[str, str],
    points: tuple[PointDiagnosis, ...],
    sights: Mapping[str, tuple[Sight | None, Sight | None]],
    layout: Layout,
    notes: tuple[str, ...],
    annotated: frozenset[str] = frozenset(),
) -> Diagnosis:
    """A case over its points, with the causes that are recognised.

    `annotated` are the chains that a declared quantizer annotates, none for a preset.
    """
    first = next((point.first for point in points if point.first is not None), None)
    pairs = {at: (left, right) for at, (left, right) in sights.items() if left is not None and right is not None}
    closer, because = _nearer(names, points, first)
    facts = Facts(
        names=names,
        layout=layout,
        points={point.at: point for point in points},
        sights=pairs,
        first=first,
        annotated=annotated,
    )
    return Diagnosis(
        left=names[0],
        right=names[1],
        first=first,
        nearer=closer,
        nearer_because=because,
        causes=find_causes(facts),
        points=points,
        notes=notes,
    )


def _nearer(
    names: tuple[str, str], points: tuple[PointDiagnosis, ...], first: Divergence | None
) -> tuple[str | None, str | None]:
    """Who is nearer at the last point; where that is not decided, at the layer where the pipelines first part.

    Layers after it add noise of quantization to both, which may hide a great difference.
    """
    if not points:
        return None, None
    last = points[-1]
    rows = [row for point in points if first is not None and point.at == first.at for row in point.layers]
    row = next(
        (row for row in rows if first is not None and (row.layer, row.value) == (first.layer, first.value)), None
    )
    if last.nearer is not None or row is None or first is None or row.nearer is None:
        return last.nearer, last.nearer_because
    _, there = nearer(names, *of_row(row))
    return row.nearer, words.AT_FIRST(output=last.nearer_because, layer=row.layer, there=there)


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
        node = sight.placement.quantized[key].node
    return list(sight.labels).index(node) if node is not None and node in sight.labels else None
