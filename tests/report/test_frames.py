"""Tests of report.frames."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qatrix.claims import Verdict
from qatrix.errors import Source
from qatrix.outcomes import PRECEDENCE, Record
from qatrix.report.frames import ReportData, report_data
from qatrix.report.frames.flat import flat_frame
from qatrix.report.frames.matrix import compatibility_matrix, group_of
from qatrix.report.vocabulary import VERDICTS
from support.lowerings import make_clamped, make_deployed, make_partly
from support.records import (
    make_comparison,
    make_diverged,
    make_failed,
    make_outcome,
    make_record,
    make_run,
    make_skipped,
)


def _headline(*records: Record) -> str:
    return report_data(make_run(declared=len(records)), records).headline.text


def test_every_verdict_has_words() -> None:
    assert set(VERDICTS) == set(PRECEDENCE)


def test_every_verdict_has_a_glyph_and_a_word_of_its_own() -> None:
    assert len({(words.glyph) for words in VERDICTS.values()}) == len({words.word for words in VERDICTS.values()}) == 12


@pytest.mark.parametrize(
    ("records", "text"),
    [
        pytest.param([], "No case has a verdict, so nothing is known.", id="none"),
        pytest.param([make_record()], "Nothing unexpected: 1 of 1 case is exact.", id="one exact"),
        pytest.param(
            [make_record("a"), make_record("b"), make_skipped(), make_failed()],
            "Nothing unexpected: 2 of 4 cases are exact, 1 skipped (no CUDA device), 1 differs as expected.",
            id="as usual",
        ),
        pytest.param(
            [make_skipped("a"), make_skipped("b", reason="other")],
            "Nothing unexpected, but nothing was compared either: 2 skipped.",
            id="only skipped",
        ),
        pytest.param(
            [make_failed()], "Nothing unexpected: of 1 case none is exact, 1 differs as expected.", id="known"
        ),
        pytest.param([make_record(), make_diverged()], "1 of 2 cases is unexpected: 1 diverged.", id="one unexpected"),
    ],
)
def test_the_headline_says_the_verdict_in_words(records: list[Record], text: str) -> None:
    assert _headline(*records) == text


def test_the_headline_of_an_interrupted_run_counts_what_is_missing(interrupted: ReportData) -> None:
    head = interrupted.headline
    assert head.interruption == (
        "The run was interrupted: 2 of 3 cases have no verdict. Finish it with qatrix run --resume."
    )
    assert head.tone == "known"


def test_a_run_that_finished_all_cases_and_did_not_end_says_so() -> None:
    head = report_data(make_run(declared=1, finished=False), [make_record()]).headline
    assert head.interruption is not None
    assert "its end was not recorded" in head.interruption


@pytest.mark.parametrize(("declared", "holds"), [(3, True), (2, False), (4, False)])
def test_every_declared_case_must_be_accounted_for(declared: int, holds: bool) -> None:
    data = report_data(make_run(declared=declared), [make_record("a"), make_failed()], unfinished=("c",))
    assert data.conservation.holds is holds


def test_counts_tell_expected_from_unexpected() -> None:
    data = report_data(make_run(), [make_failed("a"), make_failed("b", expected=None, unexpected=True), make_record()])
    counts = {row.words.verdict: (row.count, row.expected, row.unexpected) for row in data.counts}
    assert counts == {"exact": (1, 0, 0), "failed": (2, 1, 1)}


def test_counts_by_suite_keep_the_declared_order() -> None:
    data = report_data(make_run(), [make_record("a", suite="z"), make_record("b", suite="a"), make_diverged()])
    assert [(row.suite, row.total, row.unexpected) for row in data.suites] == [
        ("z", 1, 0),
        ("a", 1, 0),
        ("models", 1, 1),
    ]


def test_the_worst_unexpected_cases_come_first() -> None:
    crashed = make_record("crash", verdict="crashed", summary="crashed", unexpected=True)
    data = report_data(make_run(), [make_diverged(), crashed])
    assert [record.verdict for record in data.unexpected] == ["crashed", "diverged"]


def test_known_differences_are_grouped_by_their_reason() -> None:
    data = report_data(make_run(), [make_failed("a"), make_failed("b"), make_failed("c", unexpected=True)])
    assert [(cause.because, len(cause.records)) for cause in data.causes if cause.declared] == [
        ("FX graph mode has no QAT module for ConvTranspose + BatchNorm", 2)
    ]


def _cell_record(case_id: str, verdict: Verdict, *, unexpected: bool = False) -> Record:
    return make_record(case_id, verdict=verdict, summary=verdict, unexpected=unexpected)


def test_a_cell_shows_its_worst_verdict_and_links_to_that_case() -> None:
    matrix = compatibility_matrix(
        [_cell_record("a", "exact"), _cell_record("b", "diverged"), _cell_record("c", "exact")]
    )
    ((cell,),) = (row.cells for row in matrix.rows)
    assert cell is not None
    assert (cell.worst, cell.case_id, cell.text, cell.total) == ("diverged", "b", "1 diverged, 2 exact", 3)


def test_a_case_that_did_not_run_hides_none_that_did() -> None:
    records = [_cell_record("a", "skipped"), _cell_record("b", "exact"), _cell_record("c", "unavailable")]
    ((cell,),) = (row.cells for row in compatibility_matrix(records).rows)
    assert cell is not None
    assert (cell.worst, cell.text) == ("exact", "1 unavailable, 1 skipped, 1 exact")


def test_a_cell_shows_what_is_unexpected_before_what_is_worse() -> None:
    matrix = compatibility_matrix([_cell_record("a", "crashed"), _cell_record("b", "exact", unexpected=True)])
    ((cell,),) = (row.cells for row in matrix.rows)
    assert cell is not None
    assert (cell.worst, cell.tone, cell.unexpected) == ("exact", "bad", 1)


def test_columns_are_quantizers_in_declared_order_and_in_their_runtimes_where_there_are_several() -> None:
    axes = [("q1", None), ("q2", "xnnpack"), ("q1", "xnnpack"), ("q2", None)]
    records = [
        make_record(str(place), axes={"pattern": "p", "quantizer": quantizer, "runtime": runtime})
        for place, (quantizer, runtime) in enumerate(axes)
    ]
    matrix = compatibility_matrix(records)
    assert matrix.axes == ("quantizer", "runtime")
    assert matrix.columns == (("q1", "–"), ("q1", "xnnpack"), ("q2", "–"), ("q2", "xnnpack"))
    assert matrix.heads == ("q1", "q1 · xnnpack", "q2", "q2 · xnnpack")
    assert compatibility_matrix(records[:1]).axes == ("quantizer",)


def test_columns_of_numbers_stand_by_size() -> None:
    records = [make_record(str(bits), axes={"pattern": "p", "quantizer": str(bits)}) for bits in (10, 2, 4)]
    assert compatibility_matrix(records).heads == ("2", "4", "10")


def test_rows_are_patterns_in_the_files_that_declare_them_and_a_point_without_case_is_empty() -> None:
    records = [
        make_record("a", axes={"pattern": "conv_bn", "quantizer": "q1"}),
        make_record("b", axes={"pattern": "resnet18", "quantizer": "q2"}),
        replace(
            make_record("c", axes={"pattern": "conv_bn", "quantizer": "q2"}),
            source=Source(file="matrix/suites/other.yaml", line=1, column=1),
        ),
    ]
    matrix = compatibility_matrix(records)
    first = group_of(records[0])
    assert [(row.group, row.pattern) for row in matrix.rows] == [
        (first, "conv_bn"),
        (first, "resnet18"),
        ("other.yaml", "conv_bn"),
    ]
    assert [[cell is not None for cell in row.cells] for row in matrix.rows] == [
        [True, False],
        [False, True],
        [False, True],
    ]


def test_a_cell_says_what_is_unexpected_and_what_is_as_expected() -> None:
    records = [make_failed("a"), make_failed("b", expected=None, unexpected=True)]
    axes = {"pattern": "p", "quantizer": "q"}
    ((cell,),) = (row.cells for row in compatibility_matrix([replace(item, axes=axes) for item in records]).rows)
    assert cell is not None
    assert cell.told == "2 failed; 1 unexpected; 1 as expected"


def test_the_matrix_counts_every_case_once(demo: ReportData) -> None:
    cells = [cell for row in demo.matrix.rows for cell in row.cells if cell is not None]
    assert sum(cell.total for cell in cells) == len(demo.records)


def test_comparisons_of_several_pairs_get_columns_of_their_own() -> None:
    third = make_comparison("convert", right="third", max_abs=0.5)
    columns = flat_frame([make_record(comparisons=(make_comparison("convert"), third))]).columns
    assert {"convert_pt2e_fx_max_abs", "convert_pt2e_third_max_abs"} <= set(columns)


def test_any_number_of_pipelines_is_reported() -> None:
    pipelines = {name: make_outcome(name) for name in ("one", "two", "three")}
    assert report_data(make_run(), [make_record(pipelines=pipelines)]).pipelines == ("one", "two", "three")


def test_what_a_runtime_gave_has_columns_of_its_pipeline() -> None:
    frame = flat_frame([make_clamped(), make_partly(), make_record()])
    clamped, partly, plain = frame.to_dict("records")

    assert {
        name: clamped[name] for name in frame.columns if str(name).startswith("fx_lowered") or "runtime" in name
    } == {
        "axis_runtime": "xnnpack",
        "pt2e_runtime": "executorch (partitioner xnnpack)",
        "pt2e_runtime_version": "1.5.1",
        "fx_runtime": "native (engine qnnpack)",
        "fx_runtime_version": None,
        "fx_lowered_sqnr_db": -1.3,
        "fx_lowered_variation_db": None,
        "fx_lowered_runs_in": "integers",
        "fx_lowered_float_ops": 0,
        "fx_lowered_first": "relu",
        "fx_lowered_causes": "clamp_of_qnnpack",
        "fx_lowered_status": "diverged",
        "fx_lowered_max_abs": 5.9375,
        "fx_lowered_steps": 95.0,
        "fx_lowered_mismatched": 20,
        "fx_lowered_forward_seconds": 0.02,
    }
    facts = ("delegated", "left_over", "partitions", "size_bytes", "lowered_runs_in", "lowered_float_ops")
    assert [partly[f"pt2e_{fact}"] for fact in facts] == [4, 3, 2, 12345, "partly", 1]
    assert {plain[name] for name in frame.columns if "lowered" in str(name)} == {None}


def test_runtimes_beside_their_references_are_no_pairs_of_pipelines() -> None:
    columns = set(flat_frame([make_deployed()]).columns)

    assert {"convert_max_abs", "lowered_max_abs", "pt2e_lowered_max_abs", "fx_lowered_max_abs"} <= columns
    assert [name for name in columns if "executorch" in name or "native" in name] == []
