"""Tests of report.html."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from lxml import etree, html

from qatrix.outcomes import UNREMARKABLE, CheckOutcome, Origin, Record
from qatrix.report import plots
from qatrix.report.causes import cause_key
from qatrix.report.figures import anchor, href
from qatrix.report.frames import ReportData, report_data
from qatrix.report.html import index_html, side_files
from qatrix.report.html.details import ONE_FILE
from qatrix.report.html.links import query_term, view_href
from qatrix.report.html.rows import most_steps
from qatrix.report.html.templating import environment, main_figures, stage_rows
from support.demo_run import many_records
from support.lowerings import DEPARTURE, deployed_records, make_clamped, make_partly
from support.records import (
    make_comparison,
    make_error,
    make_expectation,
    make_failed,
    make_outcome,
    make_record,
    make_run,
)


def _page(data: ReportData) -> etree._Element:
    return html.document_fromstring(index_html(data).encode("utf-8", "backslashreplace"))


def _text(data: ReportData) -> str:
    return " ".join(str(_page(data).text_content()).split())


def _rows(data: ReportData) -> dict[str, Any]:
    """What the script filters and sorts; the same whether or not the run has cases."""
    found = _page(data).xpath("//script[@id='part-rows']/text()")
    return dict(json.loads(found[0])) if found else {"verdicts": [], "axes": []}


def _unpacked(text: str) -> list[str | None]:
    return list(json.loads(zlib.decompress(base64.b64decode(text))))


def test_every_link_within_the_page_leads_somewhere_once(any_data: ReportData) -> None:
    page = _page(any_data)
    names = [str(name) for name in page.xpath("//@id")]
    assert len(names) == len(set(names))
    links = {unquote(str(link)[1:]) for link in page.xpath("//a/@href") if str(link).startswith("#")}
    views = {link for link in links if link.startswith("q=")}
    assert links - views - set(names) == set()


def _terms(query: str) -> list[tuple[str, str]]:
    """Fields and values of a query that joins conditions, as links have it."""
    found = re.findall(r'("(?:[^"\\]|\\.)*"|[\w.]+)(:|>|<=)("(?:[^"\\]|\\.)*"|\S+)', query)
    plain = [(_unquoted(field), sign, _unquoted(value)) for field, sign, value in found]
    return [(field.removeprefix("axis."), value if sign == ":" else sign + value) for field, sign, value in plain]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def test_every_link_to_a_view_filters_by_what_the_page_knows(any_data: ReportData) -> None:
    page = _page(any_data)
    rows = _rows(any_data)
    links = [dict(parse_qsl(str(link)[1:]))["q"] for link in page.xpath("//a/@href") if str(link).startswith("#q=")]
    known = {("verdict", name) for name, _, _ in rows["verdicts"]} | {("is", "unexpected")}
    known |= {(axis["name"], value) for axis in rows["axes"] for value in [*axis["values"], "–"]}
    assert {term for link in links for term in _terms(link)} - known == set()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("3", "dim:3"),
        (">1", "dim>1"),
        ("<=0.5", "dim<=0.5"),
        ("–", "dim:–"),
        ("[1, 2]", 'dim:"[1, 2]"'),
        ("-1", 'dim:"-1"'),
        ("a*", 'dim:"a*"'),
        ('say "a\\b"', r'dim:"say \"a\\b\""'),
    ],
)
def test_a_condition_is_written_as_the_search_reads_it(value: str, written: str) -> None:
    assert query_term("dim", value) == written


def test_an_axis_with_the_name_of_another_field_keeps_its_own() -> None:
    assert view_href({"verdict": "on", "my axis": "1"}) == "#q=axis.verdict:on+%22my+axis%22:1"


def test_the_page_loads_nothing_and_names_its_language(any_data: ReportData) -> None:
    page = _page(any_data)
    assert page.get("lang") == "en"
    assert page.xpath("//@src | //link/@href[. != 'data:,'] | //iframe | //object") == []
    styles = " ".join([*page.xpath("//style/text()"), *page.xpath("//@style")])
    assert "url(" not in styles
    assert "@import" not in styles


def test_text_from_outside_never_becomes_markup(any_data: ReportData) -> None:
    page = _page(any_data)
    scripts = page.xpath("//script[not(@type)]")
    assert len(scripts) == (2 if any_data.records else 0)
    assert len(page.xpath("//script")) == len(scripts) + (2 if any_data.records else 0)
    assert page.xpath("//*[starts-with(name(), 'on')] | //@*[starts-with(name(), 'on')] | //i") == []


def test_invisible_characters_are_spelled_out(any_data: ReportData) -> None:
    assert not re.search("[\x00-\x08\u202a-\u202e]", index_html(any_data))


def test_no_script_runs_but_those_whose_digest_the_policy_names(demo: ReportData) -> None:
    page = _page(demo)
    (policy,) = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    digests = {hashlib.sha256(code.encode()).digest() for code in page.xpath("//script[not(@type)]/text()")}
    assert {base64.b64decode(item) for item in re.findall("'sha256-([^']+)'", policy)} == digests
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "script-src 'unsafe" not in policy


def test_cases_that_differ_have_their_facts_in_the_page_without_a_script(demo: ReportData) -> None:
    shown = {str(name).removeprefix("case=") for name in _page(demo).xpath("//details[@class='case']/@id")}
    assert shown == {item.case_id for item in demo.records if item.verdict not in UNREMARKABLE or item.unexpected}


def test_every_case_has_its_facts_where_the_script_finds_them(any_data: ReportData) -> None:
    page = _page(any_data)
    packed = [
        fact for text in page.xpath("//script[starts-with(@id, 'part-cases-')]/text()") for fact in _unpacked(text)
    ]
    assert len(packed) == len(any_data.records)
    assert all(packed)


def test_the_rows_say_of_each_case_what_its_record_says(demo: ReportData) -> None:
    rows = _rows(demo)
    assert rows["id"] == [record.case_id for record in demo.records]
    assert [rows["verdicts"][code][0] for code in rows["verdict"]] == [record.verdict for record in demo.records]
    assert rows["unexpected"] == [int(record.unexpected) for record in demo.records]
    assert rows["seconds"] == [record.seconds for record in demo.records]
    told = [None if code < 0 else rows["causes"][code][0] for code in rows["cause"]]
    assert told == [cause_key(record) for record in demo.records]
    (dim,) = [axis for axis in rows["axes"] if axis["name"] == "dim"]
    assert dim["values"] == ["1", "2"]
    told = [dim["values"][code] if code >= 0 else None for code in dim["codes"]]
    assert told == [str(record.axes["dim"]) if "dim" in record.axes else None for record in demo.records]


@pytest.mark.parametrize(
    ("value", "told"), [(float("nan"), "nan"), (float("-inf"), "-inf"), (None, None), (0.123456, 0.1235)]
)
def test_numbers_that_json_lacks_are_words(value: float | None, told: object) -> None:
    made = make_record(pipelines={"pt2e": make_outcome(sqnr_db=value)})
    assert _rows(report_data(make_run(declared=1), [made]))["sqnr"] == [[told]]


@pytest.mark.slow
def test_facts_of_very_many_cases_lie_beside_the_page() -> None:
    data = report_data(make_run(declared=ONE_FILE + 1), many_records(ONE_FILE + 1))
    files = dict(side_files(data))
    assert list(files) == ["rows.js", *(f"cases-{number:03}.js" for number in range(9))]
    facts = [fact for name, text in files.items() if name != "rows.js" for fact in _unpacked(text.split('"')[3])]
    assert len(facts) == len(data.records)
    assert None not in facts
    text = index_html(data)
    assert "part-" not in text.partition("<script>")[0]
    assert len(text) < 1_500_000


def test_a_page_of_very_many_cases_says_what_it_leaves_out_without_a_script() -> None:
    data = report_data(
        make_run(declared=ONE_FILE + 1), [make_record(f"s/{n}") for n in range(ONE_FILE)] + [make_failed()]
    )
    assert "lists no case, for none is unexpected; the other 2001 cases are in results.csv" in _text(data)


def test_a_usual_report_is_one_file(demo: ReportData) -> None:
    assert list(side_files(demo)) == []


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
    page = _page(report_data(make_run(declared=1), [make_record(pipelines=pipelines, unexpected=True)]))
    assert page.xpath("//table[contains(@class, 'facts')]/tr[1]/th/text()")[:4] == ["pipeline", "one", "two", "three"]


def test_a_case_says_whose_quantizer_class_it_was() -> None:
    known = Origin(name="Mine", module="mine.deep", distribution="my-dist", version="2.0")
    own = Origin(name="<b>Own", module="own")
    pipelines = {"pt2e": make_outcome("pt2e", quantizers=(known, own)), "fx": make_outcome("fx")}
    page = _page(report_data(make_run(declared=1), [make_record(pipelines=pipelines, unexpected=True)]))
    (row,) = page.xpath("//table[contains(@class, 'facts')]/tr[th='quantizer class']")

    assert [" ".join(cell.itertext()) for cell in row.xpath("td//p")] == [
        "mine.deep.Mine  of my-dist 2.0",
        "own.<b>Own",
    ]
    assert row.xpath("td/text()") == ["–"]


def test_a_case_says_whose_pipeline_it_was() -> None:
    whose = Origin(name="Eager", module="eager_pipeline", distribution="eager-pipeline", version="1.0")
    pipelines = {"pt2e": make_outcome("pt2e"), "eager": make_outcome("eager", origin=whose)}
    page = _page(report_data(make_run(declared=1), [make_record(pipelines=pipelines, unexpected=True)]))
    (row,) = page.xpath("//table[contains(@class, 'facts')]/tr[th='pipeline class']")

    assert [" ".join(cell.itertext()) for cell in row.xpath("td//p")] == ["eager_pipeline.Eager  of eager-pipeline 1.0"]
    assert row.xpath("td/text()") == ["–"]


def test_a_case_id_is_its_own_anchor() -> None:
    case_id = "conv_bn/conv_bn_relu/conv=conv_transpose,dim=2,bias=true"
    assert anchor(case_id) == case_id
    assert href(case_id) == f"#case={case_id}"


@pytest.mark.parametrize("case_id", ["a b", "a\nb", "x" * 5000, "\u202e", "\ud800"])
def test_what_html_cannot_hold_as_an_anchor_gets_a_digest(case_id: str) -> None:
    assert re.fullmatch(r"[^\s]{1,300}-?[0-9a-f]{12}", anchor(case_id))


def test_a_case_whose_details_cannot_be_drawn_says_so_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = make_failed("s/first", unexpected=True), make_failed("s/second", unexpected=True)

    def rows(record: Record) -> object:
        if record.case_id == "s/first":
            msg = "<b>no such stage</b>"
            raise LookupError(msg)
        return stage_rows(record)

    loaded = environment().cache
    assert loaded is not None
    monkeypatch.setitem(environment().globals, "stage_rows", rows)
    loaded.clear()
    page = _page(report_data(make_run(declared=2), (first, second)))
    loaded.clear()
    facts = {case.get("id"): " ".join(case.text_content().split()) for case in page.xpath("//details[@class='case']")}

    assert "details could not be drawn: LookupError: <b>no such stage</b>." in facts["case=s/first"]
    assert "could not be drawn" not in facts["case=s/second"]
    assert "Pipelines" in facts["case=s/second"]


def test_plots_that_cannot_be_drawn_cost_the_page_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: ReportData) -> None:
        msg = "out of ink"
        raise ValueError(msg)

    monkeypatch.setattr(plots, "run_plots", broken)
    text = _text(report_data(make_run(declared=1), (make_record("s/a"),)))

    assert "The plots could not be drawn: ValueError: out of ink." in text
    assert "Compatibility matrix" in text


@pytest.mark.parametrize("has_script", [True, False])
def test_why_a_case_has_no_script_or_no_bug_report_stands_on_its_page(has_script: bool) -> None:
    record = make_failed("s/a", unexpected=True)
    scripts = {"s/a": "print()"} if has_script else {}
    text = _text(
        report_data(make_run(declared=1), (record,), scripts=scripts, script_notes={"s/a": "none: it hangs & <hangs>"})
    )

    assert "none: it hangs & <hangs>." in text
    assert "a bug report with it" not in text
    assert "keeps no script" not in text
    assert ("A script that shows it: repro/" in text) is has_script


def test_a_case_has_a_block_for_each_of_its_runtimes() -> None:
    page = _page(report_data(make_run(), [make_clamped()]))
    told = {" ".join(block.find("h4").text_content().split()): block for block in page.xpath("//section[h4]")}

    assert [*told] == ["pt2e on executorch (partitioner xnnpack) ✓ exact", "fx on native (engine qnnpack) ≠ diverged"]
    facts = {
        str(fact.find("dt").text_content()): str(fact.find("dd").text_content())
        for fact in told["fx on native (engine qnnpack) ≠ diverged"].xpath("./dl/div")
    }
    assert facts == {
        "SQNR of the reference, dB": "39.1",
        "SQNR in the runtime, dB": "-1.3",
        "steps off the reference": "95",
        "computed": "all that is quantized runs in integers",
        "size, bytes": "12,345",
    }
    text = str(told["fx on native (engine qnnpack) ≠ diverged"].text_content())
    assert DEPARTURE.sentence in text
    assert "defect fx's clamp is wrong." in " ".join(str(page.text_content()).split())
    assert "xnn_qs8_conv" in text


def test_ops_that_run_in_float_are_named_by_layer() -> None:
    page = _page(report_data(make_run(), [make_partly()]))
    (row,) = page.xpath("//details[summary[starts-with(., 'What is quantized and runs in float')]]//tbody/tr")

    assert [str(cell.text_content()) for cell in row] == ["fc", "aten.linear", "no kernel takes it"]


def test_the_support_table_links_to_a_case_or_to_all_of_a_cell() -> None:
    page = _page(report_data(make_run(), deployed_records()))
    links = {
        " ".join(str(link.text_content()).split()): str(link.get("href"))
        for link in page.xpath("//*[@id='support']//td/a")
    }

    assert links["✗ fails at lower"] == "#case=deployed/conv3d/runtime=xnnpack"
    assert links["✓ integers36.2 dB, 1 step off2 cases"] == ("#q=pattern:conv_bn+quantizer:xnnpack_ptq+runtime:xnnpack")


def test_a_run_without_runtimes_has_no_support_table(demo: ReportData) -> None:
    assert _page(demo).xpath("//*[@id='support'] | //a[@href='#support']") == []


def test_the_stages_of_runtimes_are_the_last_bars() -> None:
    drawn = plots.run_plots(report_data(make_run(), [make_clamped()]))

    assert [bar.label for bar in drawn.stages[0].bars][-2:] == ["lower", "lowered_forward"]


def test_the_line_of_a_case_has_the_cause_of_its_runtime() -> None:
    told = _rows(report_data(make_run(), [make_clamped()]))["lines"]

    assert told == ["fx on native differs from its reference by 5.94 (95 quantization steps): fx's clamp is wrong"]


def test_steps_are_told_where_the_pair_that_is_the_furthest_apart_has_none() -> None:
    far = make_comparison(right="own", status="mismatched", max_abs=None, max_steps=None)
    record = make_record(comparisons=(make_comparison(), far))
    data = report_data(make_run(declared=1), [record])

    found = _rows(data)
    assert (found["max_abs"], found["steps"]) == ([[None]], [[0.0]])
    assert most_steps(record, "convert") == 0.0
    assert most_steps(make_record(comparisons=()), "convert") is None


@pytest.mark.parametrize("message", ["not supported yet", "not supported yet\nbut soon"])
def test_an_unexpected_error_is_said_once_on_its_card(message: str) -> None:
    outcome = make_outcome("fx", status="failed", failed_stage="prepare", error=make_error(message))
    summary = "fx failed at prepare: NotImplementedError: not supported yet"
    record = make_failed(summary=summary, unexpected=True, pipelines={"fx": outcome})
    (card,) = _page(report_data(make_run(declared=1), [record])).xpath(
        "//section[@id='unexpected']//li[@class='card edge-bad']"
    )

    assert str(card.text_content()).count("not supported yet") == 1


def test_a_failed_check_is_said_once_on_its_card() -> None:
    check = CheckOutcome(name="weight_scales", pipeline="pt2e", status="failed", message="along axis 0")
    summary = "check weight_scales fails on pt2e: along axis 0"
    told = make_record(verdict="check_failed", summary=summary, checks=(check,))

    assert not any("weight_scales" in line for line in main_figures(told))
    assert any("weight_scales" in line for line in main_figures(replace(told, summary="check a fails on pt2e: b")))


def test_a_plot_of_one_case_speaks_of_one() -> None:
    sides = {name: make_outcome(name, sqnr_db=30.0) for name in ("pt2e", "fx")}
    text = _text(report_data(make_run(declared=1), [make_record(pipelines=sides)]))

    assert "The only case lies on it" in text
