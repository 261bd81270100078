"""The lines of figures: what a record says, and what a script printed."""

from __future__ import annotations

from qatrix.report.repro import expected_lines, figure_lines, same_lines
from support.records import make_comparison, make_diverged, make_failed, make_outcome, make_record


def test_figures_are_written_to_the_bit() -> None:
    record = make_diverged(
        comparisons=(make_comparison("convert", status="diverged", max_abs=0.1 + 0.2, mismatched=3),)
    )

    assert (
        expected_lines(record)[0]
        == "after convert: max abs difference 0.30000000000000004, 3 of 27 values out of tolerance"
    )


def test_a_failure_is_told_with_its_stage_and_the_first_line_of_its_message() -> None:
    assert expected_lines(make_failed())[0] == (
        "fx: failed at prepare: NotImplementedError: QAT is not supported for ConvTranspose2d"
    )


def test_counts_are_told_where_they_differ() -> None:
    same = make_record()
    other = make_record(pipelines={"pt2e": make_outcome("pt2e", quantize_ops=9), "fx": make_outcome("fx")})

    assert not any("quantize ops" in line or "dequantize" in line for line in expected_lines(same))
    assert "pt2e: 9 quantize and 3 dequantize ops" in expected_lines(other)


def test_an_sqnr_that_says_nothing_is_undefined() -> None:
    record = make_record(pipelines={"pt2e": make_outcome("pt2e", sqnr_db=None), "fx": make_outcome("fx")})

    assert "pt2e: SQNR undefined" in expected_lines(record)


def test_what_is_indented_is_no_figure() -> None:
    assert figure_lines("one\n    for people\n\ntwo\n") == ("one", "two")


def test_addresses_are_no_difference() -> None:
    assert same_lines(["<object at 0x7f01>"], ["<object at 0x55aa>"])
    assert not same_lines(["0.1"], ["0.2"])
    assert not same_lines(["0.1"], ["0.1", "0.1"])
