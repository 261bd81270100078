"""Tests of report.markdown."""

from __future__ import annotations

import re

import pytest

from qatrix.report.frames import ReportData, report_data
from qatrix.report.markdown import summary_md
from support.lowerings import deployed_records, make_deployed
from support.records import HOSTILE, make_diverged, make_expectation, make_failed, make_run, make_skipped


def test_what_is_unexpected_comes_before_what_is_known(demo: ReportData) -> None:
    text = summary_md(demo)
    order = ["5 of 58 cases are unexpected", "### Unexpected", "### Causes", "### Not run"]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)


def test_an_unexpected_case_has_id_words_and_figures() -> None:
    text = summary_md(report_data(make_run(), [make_diverged()]))
    assert "`models/mobilenet_v2`: **diverged at convert: 3 quantization steps apart**" in text
    assert "at most 0.0831 apart (3 quantization steps)" in text


def test_known_differences_are_grouped_and_skips_have_their_reason() -> None:
    text = summary_md(
        report_data(make_run(), [make_failed("a"), make_failed("b"), make_skipped("c"), make_skipped("d")])
    )
    assert "ConvTranspose + BatchNorm: 2 cases</summary>" in text
    assert "- 2 cases skipped: no CUDA device" in text


def test_an_interrupted_run_says_so_first(interrupted: ReportData) -> None:
    lines = summary_md(interrupted).splitlines()
    assert lines[2:4] == [
        "> [!WARNING]",
        "> The run was interrupted: 2 of 3 cases have no verdict. Finish it with qatrix run --resume.",
    ]
    assert "- `s/b` was running" in lines


def test_the_environment_is_folded(demo: ReportData) -> None:
    assert "<details><summary>Environment</summary>\n\n- torch 2.15.0" in summary_md(demo)


def test_any_run_leaves_only_the_markup_that_is_ours(any_data: ReportData) -> None:
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", summary_md(any_data))
    without_anchors = re.sub(r'^<a id="cause-[A-Za-z0-9_-]+"></a>$', "", outside_code, flags=re.MULTILINE)
    links = {"<https://example.org/known/fx-conv-transpose>"}
    ours = {"<details>", "<summary>", "</summary>", "</details>"} | links
    assert set(re.findall(r"(?<!\\)<[^>]*>", without_anchors)) <= ours
    assert "@all" not in outside_code
    assert not re.search(r"(?<!\\)\]\(javascript", outside_code)


def test_links_that_do_not_lead_to_the_web_lead_nowhere() -> None:
    known = make_failed(expected=make_expectation(link="javascript:alert(1)"))
    text = summary_md(report_data(make_run(), [known]))
    assert "javascript" not in text
    assert "See <" not in text


@pytest.mark.slow
def test_a_huge_run_stays_under_the_limit_of_a_job_summary() -> None:
    records = [make_diverged(f"s/{place}/{HOSTILE[:300]}", summary=HOSTILE) for place in range(3000)]
    records += [
        make_failed(f"s/{place}", expected=make_expectation(because=f"{place} {HOSTILE}")) for place in range(3000)
    ]
    text = summary_md(report_data(make_run(), records))
    assert len(text.encode("utf-8", "replace")) < 900_000
    assert "more in index.html" in text
    starts = [line for line in text.splitlines() if line.startswith("<details>")]
    assert len(starts) == text.splitlines().count("</details>")


def test_a_short_support_table_is_in_the_summary() -> None:
    text = summary_md(report_data(make_run(), deployed_records()))

    assert "### What runs in integers where\n\n#### xnnpack_ptq\n\n| pattern | pt2e on executorch" in text
    assert "≠ integers, -1.3 dB, 95 steps off" in text


def test_a_long_support_table_is_left_to_the_page() -> None:
    records = [make_deployed(f"d/{place}", axes={"pattern": f"pattern {place}"}) for place in range(300)]
    text = summary_md(report_data(make_run(), records))

    assert "300 patterns: the table is in index.html, and qatrix support prints it." in text
    assert "| pattern 7 |" not in text


def test_a_run_without_runtimes_has_no_support_table(demo: ReportData) -> None:
    assert "What runs in integers" not in summary_md(demo)
