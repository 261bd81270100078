"""The support table: every case of a runtime counts once for each pipeline, and the worst of a cell is shown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

import pytest

from qatrix.lowerings import Lowering
from qatrix.outcomes import Record
from qatrix.report.support import (
    STATES,
    State,
    SupportCell,
    SupportTable,
    known_names,
    support_changes,
    support_csv,
    support_md,
    support_table,
)
from support.lowerings import (
    deployed_records,
    in_float,
    make_absent,
    make_clamped,
    make_deployed,
    make_lowered,
    make_lowering,
    make_partly,
    make_ran,
    make_reference,
    make_unlowered,
    off,
)
from support.records import HOSTILE, make_outcome, make_record, make_skipped

EXECUTORCH, NATIVE = "pt2e on executorch (partitioner xnnpack)", "fx on native (engine qnnpack)"


def cells(table: SupportTable) -> Mapping[tuple[str, str, str], SupportCell]:
    return {(pattern, column.quantizer, column.deployed): cell for (pattern, column), cell in table.cells().items()}


def only_cell(*records: Record) -> SupportCell:
    (cell,) = support_table(records).cells().values()
    return cell


def on_executorch(case_id: str = "a", *, axes: Any = None, steps: float = 0.0, **changes: Any) -> Record:
    """A case of pt2e alone."""
    lowered = make_lowered("pt2e", lowering=make_lowering(**changes))
    comparisons = (off("pt2e", "executorch", steps),)
    return make_deployed(case_id, pipelines={"pt2e": lowered}, comparisons=comparisons, axes=axes or {})


def ended(case_id: str, verdict: str, **changes: Any) -> Record:
    """A case without outcomes of pipelines."""
    return make_deployed(case_id, verdict=verdict, summary=verdict, pipelines={}, comparisons=(), **changes)


def test_rows_are_patterns_and_columns_quantizers_with_pipelines_on_runtimes() -> None:
    table = support_table(deployed_records(), about={"relu6": "a convolution and a ReLU6"})

    assert [(row.pattern, row.about) for row in table.rows] == [
        ("conv_bn", None),
        ("relu6", "a convolution and a ReLU6"),
        ("mlp", None),
        ("conv3d", None),
    ]
    assert [(column.quantizer, column.deployed) for column in table.columns] == [
        ("xnnpack_ptq", EXECUTORCH),
        ("xnnpack_ptq", NATIVE),
        ("xnnpack_ptq", "pt2e on exported"),
        ("xnnpack_ptq", "pt2e on onnx"),
        ("xnnpack_qat", EXECUTORCH),
        ("xnnpack_qat", NATIVE),
    ]
    assert table.quantizers == (("xnnpack_ptq", 4), ("xnnpack_qat", 2))


def test_each_state_is_told() -> None:
    told = {key: cell.state for key, cell in cells(support_table(deployed_records())).items()}

    assert told["conv_bn", "xnnpack_ptq", EXECUTORCH] == "integers"
    assert told["mlp", "xnnpack_ptq", EXECUTORCH] == "partly"
    assert told["conv3d", "xnnpack_ptq", EXECUTORCH] == "fails"
    assert told["conv3d", "xnnpack_ptq", NATIVE] == "integers"
    assert told["conv_bn", "xnnpack_ptq", "pt2e on exported"] == "reference"
    assert told["conv_bn", "xnnpack_ptq", "pt2e on onnx"] == "unavailable"
    assert "fx on exported" not in {deployed for _, _, deployed in told}


def test_cases_without_a_runtime_have_no_place() -> None:
    assert not support_table([make_record(), make_record(axes={"pattern": "a", "runtime": "reference"})])
    assert not support_table([make_skipped()])


def test_a_pattern_that_computes_something_else_is_bad_whatever_it_computes_in() -> None:
    cell = cells(support_table(deployed_records()))["relu6", "xnnpack_ptq", NATIVE]

    assert (cell.state, cell.tone, cell.sentence) == ("integers", "bad", "≠ integers, -1.3 dB, 95 steps off")


def test_the_worst_case_of_a_cell_counts() -> None:
    cell = only_cell(
        on_executorch("a", sqnr_db=36.0, steps=1.0),
        on_executorch("b", axes={"dim": 1}, sqnr_db=30.0, ran=in_float("fc")),
        on_executorch("c", axes={"dim": 3}, sqnr_db=41.0, steps=2.5),
    )

    assert (cell.state, cell.alike, cell.off, cell.case_ids) == ("partly", 1, 1, ("b", "c", "a"))
    assert (cell.sqnr_db, cell.steps) == (30.0, 2.5)
    assert (cell.figures, cell.counts) == ("30.0 dB, 2.5 steps off", "1 of 3 cases")


def test_what_is_no_number_is_the_worst() -> None:
    cell = only_cell(on_executorch("a", sqnr_db=math.nan, steps=math.nan), on_executorch("b", sqnr_db=30.0, steps=9.0))

    assert cell.figures == "NaN dB, NaN steps off"


def test_cases_of_one_state_are_counted_and_one_alone_is_not() -> None:
    assert only_cell(on_executorch("a"), on_executorch("b")).counts == "2 cases"
    assert only_cell(on_executorch("a")).counts == ""


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        (("integers", "fails"), "fails"),
        (("partly", "float"), "float"),
        (("unavailable", "partly"), "partly"),
        (("integers", "unavailable"), "unavailable"),
        (("integers", "untold"), "untold"),
    ],
)
def test_the_order_of_states(states: tuple[State, ...], shown: State) -> None:
    made = {
        "integers": on_executorch("integers"),
        "partly": on_executorch("partly", ran=in_float("fc")),
        "float": on_executorch("float", ran=make_ran(kernels=in_float("fc").kernels[1:])),
        "untold": on_executorch("untold", ran=None),
        "fails": make_unlowered("fails", axes={"pattern": "conv_bn"}),
        "unavailable": make_absent("unavailable", axes={"runtime": "xnnpack"}),
    }
    found = cells(support_table([on_executorch("first"), *(made[state] for state in states)]))

    assert found["conv_bn", "xnnpack_ptq", EXECUTORCH].state == shown
    assert set(STATES) - {"reference"} == set(made)


def test_where_it_fails_is_told() -> None:
    failed = make_outcome("pt2e", status="failed", failed_stage="convert")
    cell = only_cell(make_deployed(pipelines={"pt2e": failed}, comparisons=()))

    assert (cell.told, cell.words.tone) == ("fails at convert", "bad")


def test_a_runtime_that_nothing_reached_has_its_declared_name() -> None:
    assert [column.deployed for column in support_table([make_absent()]).columns] == ["pt2e on onnx"]


def test_a_runtime_that_any_case_reached_has_its_own_name_in_all_cases() -> None:
    failed = make_outcome("fx", status="failed", failed_stage="prepare")
    record = make_deployed("b", pipelines={"fx": failed}, comparisons=(), axes={"pattern": "other"})

    assert [column.deployed for column in support_table([record, make_deployed()]).columns] == [NATIVE, EXECUTORCH]


def test_a_pipeline_that_is_not_lowered_is_not_in_the_table_even_where_it_fails() -> None:
    failed = make_outcome("fx", status="failed", failed_stage="prepare")
    saved = make_reference()
    broken = make_reference("b", pipelines={**saved.pipelines, "fx": failed})

    for records in ([saved, broken], [broken, saved]):
        assert {column.pipeline for column in support_table(records).columns} == {"pt2e"}


@pytest.mark.parametrize(
    ("verdict", "detail", "told"),
    [
        ("crashed", "crashed", "fails: crashed"),
        ("timed_out", "timed out", "fails: timed out"),
        ("skipped", "skipped", "unavailable"),
    ],
)
def test_a_case_that_ended_without_its_pipelines_counts_for_all_of_its_runtime(
    verdict: str, detail: str, told: str
) -> None:
    found = cells(support_table([make_deployed(), ended("b", verdict, axes={"pattern": "other"})]))

    for deployed in (EXECUTORCH, NATIVE):
        cell = found["other", "xnnpack_ptq", deployed]
        assert (cell.detail, cell.told) == (detail, told)


def test_a_case_that_ended_on_a_runtime_that_nothing_else_names_is_there_all_the_same() -> None:
    (column,) = support_table([ended("a", "crashed")]).columns

    assert column.deployed == "a pipeline on xnnpack"


def test_a_runtime_of_unknown_code_says_what_it_says() -> None:
    own = make_lowered("pt2e", lowering=Lowering(runtime="my_package.Runtime"))

    assert only_cell(make_deployed(pipelines={"pt2e": own}, comparisons=())).state == "untold"


@pytest.mark.parametrize(
    ("chosen", "columns"),
    [
        ({"runtimes": ["xnnpack"]}, [EXECUTORCH, NATIVE, EXECUTORCH, NATIVE]),
        ({"runtimes": ["native"]}, [NATIVE, NATIVE]),
        ({"runtimes": ["native (engine qnnpack)"], "quantizers": ["xnnpack_qat"]}, [NATIVE]),
        ({"runtimes": ["saved", "onnx"]}, ["pt2e on exported", "pt2e on onnx"]),
        ({"quantizers": ["none"]}, []),
    ],
)
def test_runtimes_and_quantizers_are_chosen_by_name(chosen: dict[str, list[str]], columns: list[str]) -> None:
    table = support_table(deployed_records(), **chosen)  # type: ignore[arg-type]  # names of two arguments

    assert [column.deployed for column in table.columns] == columns


def test_the_names_that_can_be_chosen() -> None:
    names = known_names(deployed_records())

    assert names.quantizers == ("xnnpack_ptq", "xnnpack_qat")
    assert {"xnnpack", "executorch", "native", "native (engine qnnpack)", "saved", "exported", "onnx"} <= {
        *names.runtimes
    }


def test_the_markdown_has_a_table_per_quantizer_and_says_what_words_mean() -> None:
    lines = support_md(support_table(deployed_records(), about={"mlp": "two linear layers"})).splitlines()

    assert lines[0] == "## xnnpack_ptq"
    assert lines[2].startswith(f"| pattern | computes | {EXECUTORCH} | {NATIVE} |")
    assert lines[4] == (
        "| conv_bn |  | ✓ integers, 36.2 dB, 1 step off (2 cases) | ✓ integers, 36.2 dB, 0 steps off (2 cases) "
        "| ≡ reference, 36.4 dB, 0 steps off | ○ unavailable |"
    )
    assert lines[6] == "| mlp | two linear layers | ◐ partly, 36.2 dB, 0.5 steps off | – | – | – |"
    assert lines[7].startswith("| conv3d |  | ✗ fails at lower | ✓ integers")
    assert "## xnnpack_qat" in lines
    assert "- ◐ partly: Some ops that the quantizer quantizes run in float." in lines
    assert not any(line.startswith("- ◌ float") for line in lines)


def test_the_csv_has_a_row_per_cell_with_numbers_as_they_were_measured() -> None:
    rows = list(csv.DictReader(io.StringIO(support_csv(support_table(deployed_records())))))

    assert len(rows) == len(support_table(deployed_records()).cells())
    assert rows[0] == {
        "pattern": "conv_bn",
        "about": "",
        "quantizer": "xnnpack_ptq",
        "pipeline": "pt2e",
        "runtime": "executorch (partitioner xnnpack)",
        "state": "integers",
        "detail": "",
        "sqnr_db": "36.2",
        "steps": "1.0",
        "cases": "2",
        "cases_alike": "2",
        "cases_off": "0",
        "worst_case": "deployed/conv_bn/dim=2,runtime=xnnpack",
    }


def test_text_from_outside_is_text() -> None:
    record = on_executorch(axes={"pattern": f"=1+1|{HOSTILE}", "quantizer": HOSTILE})
    table = support_table([record], about={f"=1+1|{HOSTILE}": HOSTILE})

    assert "<script>" not in support_md(table)
    assert "@all" not in support_md(table)
    assert next(csv.reader(io.StringIO(support_csv(table).partition("\n")[2])))[0].startswith("'=1+1")


def changes(before: Record, after: Record) -> list[tuple[str, str]]:
    found = support_changes({before.case_id: before}, {after.case_id: after})
    return [(change.kind, change.says) for change in found]


FLOAT = make_ran(kernels=in_float("fc").kernels[1:])


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        pytest.param(on_executorch(), on_executorch(), [], id="the same"),
        pytest.param(on_executorch(sqnr_db=36.2), on_executorch(sqnr_db=37.2), [], id="a decibel is nothing"),
        pytest.param(
            on_executorch(ran=FLOAT),
            on_executorch(),
            [("gained", "◌ float, 36.2 dB, 0 steps off → ✓ integers, 36.2 dB, 0 steps off")],
            id="integers now",
        ),
        pytest.param(
            on_executorch(),
            on_executorch(ran=in_float("fc")),
            [("lost", "✓ integers, 36.2 dB, 0 steps off → ◐ partly, 36.2 dB, 0 steps off")],
            id="partly now",
        ),
        pytest.param(
            on_executorch(sqnr_db=38.1),
            on_executorch(sqnr_db=16.7),
            [("lost", "✓ integers, 38.1 dB, 0 steps off → ✓ integers, 16.7 dB, 0 steps off")],
            id="decibels",
        ),
        pytest.param(
            on_executorch(ran=in_float("fc")),
            on_executorch(steps=95.0),
            [("lost", "◐ partly, 36.2 dB, 0 steps off → ≠ integers, 36.2 dB, 95 steps off")],
            id="integers, and wrong",
        ),
        pytest.param(
            on_executorch(steps=95.0),
            on_executorch(),
            [("gained", "≠ integers, 36.2 dB, 95 steps off → ✓ integers, 36.2 dB, 0 steps off")],
            id="right now",
        ),
        pytest.param(
            make_absent("a", axes={"runtime": "xnnpack"}),
            on_executorch(),
            [("changed", "○ unavailable → ✓ integers, 36.2 dB, 0 steps off")],
            id="run now, whatever the runtime was called before",
        ),
        pytest.param(on_executorch(sqnr_db=math.nan), on_executorch(), [], id="no number"),
        pytest.param(
            on_executorch(sqnr_db=-math.inf),
            on_executorch(),
            [("gained", "✓ integers, -∞ dB, 0 steps off → ✓ integers, 36.2 dB, 0 steps off")],
            id="infinite",
        ),
    ],
)
def test_what_a_later_run_gained_and_lost(before: Record, after: Record, found: list[tuple[str, str]]) -> None:
    assert changes(before, after) == found


def test_a_case_that_one_run_has_makes_no_cell_worse() -> None:
    before = {"a": on_executorch("a")}
    after = {"a": on_executorch("a"), "b": on_executorch("b", ran=FLOAT)}

    assert support_changes(before, after) == ()
    assert support_changes(after, before) == ()


def test_what_was_lost_comes_first_and_says_where() -> None:
    before = {"a": on_executorch("a", ran=FLOAT), "b": make_clamped("b", comparisons=())}
    after = {"a": on_executorch("a"), "b": make_clamped("b")}
    after["b"] = make_partly("b", axes={"pattern": "relu6"})

    lost, gained = support_changes(before, after)
    assert (lost.kind, lost.where) == ("lost", f"relu6 with xnnpack_ptq, {EXECUTORCH}")
    assert (gained.kind, gained.glyph, gained.tone) == ("gained", "▲", "good")
