"""Layer by layer: rows, the first divergence, who is nearer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from qatrix.claims import Tolerance
from qatrix.diagnoses import Divergence, LayerRow
from qatrix.judge.diagnosis.layout import Layout
from qatrix.judge.diagnosis.localize import first_divergence, idle, layer_rows
from qatrix.judge.diagnosis.nearness import nearness
from qatrix.judge.diagnosis.sight import Sight
from support.sights import layout, measured, sight, site

pytestmark = pytest.mark.torch
CHAIN = layout(site("x"), site("a", "x"), site("b", "a"), site("c", "b"))
NAMES = ("left", "right")


def values(*numbers: float) -> Tensor:
    return torch.tensor(numbers)


SAME = {"x": values(1.0), "a": values(2.0), "b": values(3.0), "c": values(4.0)}


def rows_of(left: Sight, right: Sight, of: Layout = CHAIN) -> tuple[LayerRow, ...]:
    return layer_rows(of, left, right, reference=SAME.get, tolerance=Tolerance())


def first_of(left: Sight, right: Sight, of: Layout = CHAIN) -> Divergence | None:
    return first_divergence(of, rows_of(left, right, of), at="prepare")


def test_programs_that_agree_to_the_bit_part_nowhere() -> None:
    assert first_of(sight("left", SAME), sight("right", SAME)) is None


def test_the_first_layer_that_differs_while_its_inputs_agree_is_named_in_words() -> None:
    first = first_of(sight("left", SAME), sight("right", {**SAME, "b": values(3.5), "c": values(9.0)}))

    assert first is not None
    assert (first.layer, first.value, first.within_tolerance) == ("b", "computed", False)
    assert first.sentence == ("First difference after prepare: b. Same inputs, outputs differ by 0.5.")


def test_a_difference_beyond_tolerance_goes_before_an_earlier_one_within() -> None:
    first = first_of(sight("left", SAME), sight("right", {**SAME, "a": values(2.0 + 1e-6), "c": values(9.0)}))

    assert first is not None
    assert (first.layer, first.within_tolerance) == ("c", False)


def test_where_all_is_within_tolerance_the_first_layer_that_is_not_equal_to_the_bit_is_named() -> None:
    near = {key: value + 1e-6 for key, value in SAME.items() if key in {"b", "c"}}
    first = first_of(sight("left", SAME), sight("right", {**SAME, **near}))

    assert first is not None
    assert (first.layer, first.within_tolerance) == ("b", True)


def test_a_difference_that_a_later_quantization_heals_is_not_the_first() -> None:
    healed = sight("left", SAME, {"a": values(2.0)})
    other = sight("right", {**SAME, "a": values(2.5), "c": values(9.0)}, {"a": values(2.0)})
    first = first_of(healed, other)

    assert first is not None
    assert first.layer == "c"


def test_an_output_that_one_program_quantizes_parts_there() -> None:
    first = first_of(
        sight("left", SAME, {"a": values(2.1)}), sight("right", {**SAME, "b": values(3.2), "c": values(5.0)})
    )

    assert first is not None
    assert (first.layer, first.value) == ("a", "quantized")
    assert "left quantizes it, but right leaves it in float" in first.sentence


def test_an_input_of_the_model_that_one_program_quantizes_belongs_to_the_layer_that_reads_it() -> None:
    quantizing = sight("left", {**SAME, "a": values(2.2), "b": values(3.2), "c": values(4.2)}, {"x": values(1.1)})
    rows = rows_of(quantizing, sight("right", SAME))
    first = first_divergence(CHAIN, rows, at="prepare")

    assert [(row.layer, row.status) for row in rows if row.value == "quantized"] == [("x", "left_only")]
    assert first is not None
    assert (first.layer, first.value) == ("a", "computed")


def test_a_layer_that_only_one_program_has_is_a_row_and_is_passed_through() -> None:
    missing = {key: value for key, value in SAME.items() if key != "b"}
    left = sight("left", {**missing, "c": values(9.0)}, fused={"c": ("b",)})
    rows = rows_of(left, sight("right", SAME))
    first = first_divergence(CHAIN, rows, at="convert")

    assert [row.status for row in rows] == ["exact", "exact", "right_only", "diverged"]
    assert first is not None
    assert (first.layer, first.covers) == ("c", ("b",))
    assert rows[-1].inputs_agree


def test_differences_are_also_in_steps_of_the_coarser_scale() -> None:
    left = sight("left", SAME, {"a": values(2.0)}, tensors={"a": measured(0.1)})
    right = sight("right", SAME, {"a": values(3.0)}, tensors={"a": measured(0.5)})
    row = next(row for row in rows_of(left, right) if (row.layer, row.value) == ("a", "quantized"))

    assert row.max_steps == pytest.approx(2.0)


def test_a_list_and_a_tuple_of_equal_parts_are_no_difference() -> None:
    parts = values(1.0), values(2.0)
    left, right = sight("left", {**SAME, "b": list(parts)}), sight("right", {**SAME, "b": parts})

    assert first_of(left, right) is None
    assert nearness([*parts], parts).sqnr_db == math.inf


def test_values_of_another_shape_are_mismatched_and_no_error() -> None:
    first = first_of(sight("left", SAME), sight("right", {**SAME, "b": values(3.0, 3.0)}))

    assert first is not None
    assert (first.layer, "cannot be compared" in first.sentence) == ("b", True)


def test_a_program_that_quantizes_nothing_is_nowhere_called_the_nearer_one() -> None:
    busy = sight("right", {**SAME, "b": values(3.5)}, tensors={"a": measured()})
    rows = rows_of(sight("left", SAME), busy)

    assert [row.nearer for row in rows] == [None] * len(rows)
    assert idle(sight("left", SAME), busy) == "left"


def test_where_both_programs_quantize_the_nearer_one_is_named_at_each_layer() -> None:
    left, right = (sight(name, SAME, tensors={"a": measured()}) for name in NAMES)
    rows = rows_of(left, sight("right", {**SAME, "b": values(3.5)}, tensors={"a": measured()}))

    assert idle(left, right) is None
    assert [row.nearer for row in rows] == [None, None, "left", None]


def test_a_thousand_layers_in_a_row_are_no_problem() -> None:
    chain = layout(site("x"), *(site(f"l{place}", f"l{place - 1}" if place else "x") for place in range(3000)))
    same = {key: values(1.0) for key in chain.sites}
    differing = same | {f"l{place}": values(2.0) for place in range(5, 3000)}
    rows = layer_rows(chain, sight("left", same), sight("right", differing), reference=same.get, tolerance=Tolerance())
    first = first_divergence(chain, rows, at="prepare")

    assert first is not None
    assert first.layer == "l5"


def test_a_layer_has_the_figure_of_what_varies_beside_that_of_everything() -> None:
    offset = {"x": values(1.0, 2.0), "a": values(100.0, 102.0), "b": values(1.0, 2.0), "c": values(1.0, 2.0)}
    noisy = {**offset, "a": values(101.0, 101.0)}
    rows = layer_rows(
        CHAIN, sight("left", offset), sight("right", noisy), reference=offset.__getitem__, tolerance=Tolerance()
    )
    (row,) = (row for row in rows if row.layer == "a")

    assert (row.left_sqnr_db, row.left_variation_db) == (math.inf, None)
    assert row.right_sqnr_db == pytest.approx(40.1, abs=0.1)
    assert row.right_variation_db == pytest.approx(0.0, abs=0.1)
