"""Tests of report.html."""

from __future__ import annotations

import re

import pytest
from lxml import etree, html

from qatrix.report.figures import anchor, href
from qatrix.report.frames import ReportData, report_data
from qatrix.report.html import index_html
from support.records import make_expectation, make_failed, make_outcome, make_record, make_run


def _page(data: ReportData) -> etree._Element:
    return html.document_fromstring(index_html(data).encode("utf-8", "backslashreplace"))


def _text(data: ReportData) -> str:
    return " ".join(str(_page(data).text_content()).split())


def test_every_link_within_the_page_leads_somewhere_once(any_data: ReportData) -> None:
    page = _page(any_data)
    names = [str(name) for name in page.xpath("//@id")]
    assert len(names) == len(set(names))
    links = {str(link).removeprefix("#") for link in page.xpath("//a/@href") if str(link).startswith("#")}
    assert links - {re.sub("^#", "", href(name)) for name in names} == set()


def test_the_page_loads_nothing_and_names_its_language(any_data: ReportData) -> None:
    page = _page(any_data)
    assert page.get("lang") == "en"
    assert page.xpath("//@src | //link/@href[. != 'data:,'] | //iframe | //object") == []
    assert "url(" not in index_html(any_data)
    assert "@import" not in index_html(any_data)


def test_text_from_outside_never_becomes_markup(any_data: ReportData) -> None:
    page = _page(any_data)
    assert len(page.xpath("//script")) == 1
    assert page.xpath("//*[starts-with(name(), 'on')] | //@*[starts-with(name(), 'on')] | //i") == []


def test_invisible_characters_are_spelled_out(any_data: ReportData) -> None:
    assert not re.search("[\x00-\x08\u202a-\u202e]", index_html(any_data))


def test_every_case_has_its_facts_in_the_page(demo: ReportData) -> None:
    assert len(_page(demo).xpath("//details[@class='case']")) == len(demo.records)


def test_the_verdict_is_said_in_words_with_its_proof(demo: ReportData) -> None:
    text = _text(demo)
    assert "5 of 58 cases are unexpected: 1 crashed, 1 diverged, 1 check failed, 2 exact." in text
    assert "Every case is accounted for: 58 declared = 58 with a verdict + 0 unfinished." in text


def test_sums_that_do_not_agree_are_shown() -> None:
    assert "The sums do not agree" in _text(report_data(make_run(declared=9), [make_record()]))


def test_a_run_without_cases_says_what_to_do() -> None:
    assert "Run qatrix list to see what your selection matches" in _text(report_data(make_run(), []))


def test_an_interrupted_run_says_so_and_names_what_was_running(interrupted: ReportData) -> None:
    text = _text(interrupted)
    assert "The run was interrupted: 2 of 3 cases have no verdict." in text
    assert "s/b was running" in text


@pytest.mark.parametrize("link", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd"])
def test_only_links_to_the_web_are_links(link: str) -> None:
    data = report_data(make_run(declared=1), [make_failed(expected=make_expectation(link=link))])
    assert link not in _page(data).xpath("//a/@href")


def test_three_pipelines_stand_side_by_side() -> None:
    pipelines = {name: make_outcome(name) for name in ("one", "two", "three")}
    page = _page(report_data(make_run(declared=1), [make_record(pipelines=pipelines)]))
    assert page.xpath("//details[@class='case']//table[1]/tr[1]/th/text()")[:4] == ["pipeline", "one", "two", "three"]


def test_a_case_id_is_its_own_anchor() -> None:
    case_id = "conv_bn/conv_bn_relu/conv=conv_transpose,dim=2,bias=true"
    assert anchor(case_id) == case_id
    assert href(case_id) == f"#{case_id}"


@pytest.mark.parametrize("case_id", ["a b", "a\nb", "x" * 5000, "\u202e", "\ud800"])
def test_what_html_cannot_hold_as_an_anchor_gets_a_digest(case_id: str) -> None:
    assert re.fullmatch(r"[^\s]{1,300}-?[0-9a-f]{12}", anchor(case_id))
