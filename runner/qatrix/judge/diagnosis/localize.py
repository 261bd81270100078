"""Two programs layer by layer: how far they are apart, and where they first part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from qatrix.claims import Tolerance
from qatrix.diagnoses import Agreement, Divergence, LayerRow
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.nearness import as_tuples, nearer, nearness
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.numerics import compare
from qatrix.judge.wording import differences as words
from qatrix.outcomes import Comparison
from qatrix.text import steps

Value = Literal["computed", "quantized"]


def layer_rows(
    layout: Layout, left: Sight, right: Sight, *, reference: Callable[[str], object], tolerance: Tolerance
) -> tuple[LayerRow, ...]:
    """What both programs compute and pass on at every layer; `reference` gives the float model's value of a site.

    A layer that both programs fuse into a later one has no row.
    """
    comparing = _Comparing(layout, left, right, reference, tolerance)
    return tuple(row for site in layout.sites.values() for row in comparing.rows(site))


def first_divergence(layout: Layout, rows: tuple[LayerRow, ...], *, at: str) -> Divergence | None:
    """The first layer that differs while its inputs agree, None where all agree to the bit.

    A difference beyond tolerance goes before any within, and one that reaches the output
    before one that a later quantization heals.
    """
    for bitwise in (False, True):
        trail = _Trail(layout, rows, bitwise=bitwise)
        row = trail.first()
        if row is not None:
            return Divergence(
                at=at,
                layer=row.layer,
                op=row.op,
                value=row.value,
                covers=row.covers,
                within_tolerance=bitwise,
                sentence=_sentence(row, at),
            )
    return None


def idle(left: Sight, right: Sight) -> str | None:
    """The pipeline that quantizes nothing where the other does, None where both do or neither does, or none can say.

    It is near to the float model because it is the float model.
    """
    if left.idle == right.idle or left.opaque or right.opaque:
        return None
    return left.pipeline if left.idle else right.pipeline


@dataclass
class _Comparing:
    """Makes the rows, and remembers at which sites both programs agree within tolerance."""

    layout: Layout
    left: Sight
    right: Sight
    reference: Callable[[str], object]
    tolerance: Tolerance
    agreed: dict[str, bool] = field(default_factory=dict)

    def rows(self, site: Site) -> list[LayerRow]:
        inputs_agree = all(self.agreed.get(key, True) for key in site.inputs)
        rows = [self._computed(site, inputs_agree=inputs_agree)]
        rows.append(self._quantized(site, rows[0], inputs_agree=inputs_agree))
        found = [row for row in rows if row is not None]
        self.agreed[site.key] = _passes_agreeing(site, found, inputs_agree=inputs_agree)
        return found

    def _computed(self, site: Site, *, inputs_agree: bool) -> LayerRow | None:
        one, other = self.left.computed(site.key), self.right.computed(site.key)
        return self._row(site, "computed", one, other, inputs_agree=inputs_agree)

    def _quantized(self, site: Site, computed: LayerRow | None, *, inputs_agree: bool) -> LayerRow | None:
        key = site.key
        by_left, by_right = self.left.quantizes(key), self.right.quantizes(key)
        if not by_left and not by_right:
            return None
        # That an opaque program has no op for it does not say that it passes on what it computed.
        if (self.left.opaque and not by_left) or (self.right.opaque and not by_right):
            return None
        one = self.left.quantized(key) if by_left else self.left.computed(key)
        other = self.right.quantized(key) if by_right else self.right.computed(key)
        known = computed is not None and computed.max_abs is not None
        agree = computed.status in {"exact", "close"} if computed is not None and known else inputs_agree
        row = self._row(site, "quantized", one, other, inputs_agree=agree)
        if row is None or (by_left and by_right) or row.status not in {"exact", "close", "diverged"}:
            return row
        status: Agreement = "left_only" if by_left else "right_only"
        who, rest = (self.left, self.right) if by_left else (self.right, self.left)
        note = words.QUANTIZED_BY_ONE(pipeline=who.pipeline, other=rest.pipeline)
        # Who does not quantize is nearer to the float model for that reason alone.
        return replace(row, status=status, note=note, nearer=None)

    def _row(self, site: Site, value: Value, one: object, other: object, *, inputs_agree: bool) -> LayerRow | None:
        if one is None and other is None:
            return None
        gap = self._gap(one, other, site.key)
        reference = self.reference(site.key)
        left, right = nearness(reference, one), nearness(reference, other)
        names = (self.left.pipeline, self.right.pipeline)
        return LayerRow(
            layer=site.name,
            op=site.op,
            value=value,
            status=_status(other, gap),
            covers=self._covers(site.key),
            left_node=_node(self.left, site.key, value),
            right_node=_node(self.right, site.key, value),
            inputs_agree=inputs_agree,
            max_abs=gap.max_abs if gap else None,
            max_steps=gap.max_steps if gap else None,
            mismatched=gap.mismatched if gap else None,
            total=gap.total if gap else None,
            left_sqnr_db=left.sqnr_db,
            right_sqnr_db=right.sqnr_db,
            left_variation_db=left.variation_db,
            right_variation_db=right.variation_db,
            nearer=nearer(names, left, right)[0] if idle(self.left, self.right) is None else None,
            note=gap.message if gap else None,
        )

    def _gap(self, one: object, other: object, key: str) -> Comparison | None:
        if one is None or other is None:
            return None
        steps = [step for step in (self.left.step(key), self.right.step(key)) if step is not None]
        names = (self.left.pipeline, self.right.pipeline)
        return compare(
            as_tuples(one),
            as_tuples(other),
            at="layer",
            names=names,
            tolerance=self.tolerance,
            steps=[max(steps)] if steps else (),
        )

    def _covers(self, key: str) -> tuple[str, ...]:
        merged = {*self.left.placement.fused.get(key, ()), *self.right.placement.fused.get(key, ())}
        return tuple(self.layout.sites[member].name for member in self.layout.sites if member in merged)


def _status(other: object, gap: Comparison | None) -> Agreement:
    if gap is not None:
        return gap.status
    return "left_only" if other is None else "right_only"


def _node(sight: Sight, key: str, value: Value) -> str | None:
    if value == "quantized" and sight.quantizes(key):
        return sight.labels.get(sight.placement.quantized[key].node)
    probe = sight.placement.computed.get(key)
    if probe is None:
        return None
    label = sight.labels.get(probe.node, probe.node)
    return f"{label}, {probe.part}" if probe.part else label


def _passes_agreeing(site: Site, rows: list[LayerRow], *, inputs_agree: bool) -> bool:
    """Whether both programs pass on the same value from here, within tolerance.

    A layer that only one program has is transparent. An input of the model that only one
    program quantizes still agrees: that quantization belongs to the layer that asks for it.
    """
    known = {row.value: row for row in rows}
    computed = known.get("computed")
    last = known.get("quantized", computed)
    if last is None or (last.max_abs is None and last.status in {"left_only", "right_only"}):
        return inputs_agree
    if last.status in {"left_only", "right_only"}:
        if site.kind == "input" and computed is not None:
            return computed.status in {"exact", "close"}
        return last.mismatched == 0
    return last.status in {"exact", "close"}


class _Trail:
    """Which rows part, and whether that is still seen at the output."""

    def __init__(self, layout: Layout, rows: tuple[LayerRow, ...], *, bitwise: bool) -> None:
        self._layout = layout
        self._bitwise = bitwise
        self._rows: dict[str, list[LayerRow]] = {}
        for row in rows:
            self._rows.setdefault(row.layer, []).append(row)
        # In the order of execution and against it, never by recursion: a model may have a thousand layers in a row.
        self._passing: dict[str, bool] = {}
        for site in layout.sites.values():
            self._passing[site.key] = self._passes_differing(site)
        self._reaching: set[str] = set()
        for site in reversed(list(layout.sites.values())):
            if self._passing[site.key] and (site.key in layout.outputs or site.key in self._reaching):
                self._reaching.update((site.key, *site.inputs))

    def first(self) -> LayerRow | None:
        parting = [
            (site, row)
            for site in self._layout.sites.values()
            for row in self._rows.get(site.name, ())
            if self._parts(site, row)
        ]
        reaching = [row for site, row in parting if self._reaches_output(site)]
        return next(iter(reaching), parting[0][1] if parting else None)

    def _parts(self, site: Site, row: LayerRow) -> bool:
        """Whether a row differs while everything before it agrees."""
        if not self._differs(site, row):
            return False
        before = self._row(site, "computed") if row.value == "quantized" else None
        if before is not None:
            return not self._differs(site, before)
        return not any(self._passing[key] for key in site.inputs)

    def _differs(self, site: Site, row: LayerRow) -> bool:
        if row.status in {"left_only", "right_only"}:
            beyond = row.max_abs != 0 if self._bitwise else bool(row.mismatched)
            return row.value == "quantized" and site.kind != "input" and row.max_abs is not None and beyond
        return row.status != "exact" if self._bitwise else row.status not in {"exact", "close"}

    def _passes_differing(self, site: Site) -> bool:
        """Whether what a site passes on differs, once that is known of the sites before it."""
        for value in ("quantized", "computed"):
            row = self._row(site, value)
            if row is None or (
                row.status in {"left_only", "right_only"} and (row.max_abs is None or site.kind == "input")
            ):
                continue
            return self._differs(site, row)
        return any(self._passing[key] for key in site.inputs)

    def _row(self, site: Site, value: str) -> LayerRow | None:
        return next((row for row in self._rows.get(site.name, ()) if row.value == value), None)

    def _reaches_output(self, site: Site) -> bool:
        """Whether a difference at a site goes on differing up to an output."""
        reached = site.key in self._layout.outputs or site.key in self._reaching
        return self._passing[site.key] and reached


def _sentence(row: LayerRow, at: str) -> str:
    """The first divergence in words."""
    fused = words.FUSED(layers=", ".join(row.covers)) if row.covers else ""
    if row.status in {"left_only", "right_only"}:
        return words.FIRST_ALONE(at=at, layer=row.layer, fused=fused, note=row.note)
    is_computed = row.value == "computed"
    if row.max_abs is None:
        told = words.FIRST_COMPUTED_UNLIKE if is_computed else words.FIRST_QUANTIZED_UNLIKE
        return told(at=at, layer=row.layer, fused=fused)
    told = words.FIRST_COMPUTED if is_computed else words.FIRST_QUANTIZED
    apart = "" if row.max_steps is None else f" ({steps(f'{row.max_steps:.3g}')})"
    return told(at=at, layer=row.layer, fused=fused, max_abs=row.max_abs, steps=apart)
