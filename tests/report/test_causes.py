"""The causes of a run: which cases share one, what is said of it, and where it is shown."""

from __future__ import annotations

from typing import Any

import pytest
from lxml import html

from qatrix.claims import Issue
from qatrix.codec import from_jsonable, to_jsonable
from qatrix.diagnoses import Cause as Recognized
from qatrix.outcomes import Record
from qatrix.report.causes import cause_key, causes, grouped
from qatrix.report.frames import report_data
from qatrix.report.html import index_html
from qatrix.report.html.page import case_facts
from qatrix.report.markdown import summary_md
from qatrix.report.repro import issue_md
from support.diagnoses import make_diagnosis
from support.records import (
    ENVIRONMENT,
    HOSTILE,
    make_diverged,
    make_expectation,
    make_failed,
    make_outcome,
    make_record,
    make_run,
)

ISSUE = Issue(link="https://github.com/pytorch/pytorch/issues/47427", state="closed", checked="2026-08-19")
DECLARED: dict[str, Any] = {
    "cause": "fx_no_transposed",
    "title": "FX graph mode does not train transposed convolutions",
    "sentence": "FX graph mode raises on a transposed convolution.",
    "impact": "error",
    "advice": "Use PT2E.",
    "because": "there is no module for it (conv.py)",
    "link": ISSUE.link,
    "issue": ISSUE,
}


def declared(case_id: str, **changes: Any) -> Record:
    return make_failed(case_id, expected=make_expectation(**{**DECLARED, **changes}))


def page_of(*records: Record, scripts: dict[str, str] | None = None) -> Any:
    data = report_data(make_run(declared=len(records)), records, scripts=scripts)
    return html.document_fromstring(index_html(data).encode("utf-8", "backslashreplace"))


def words(element: Any) -> str:
    return " ".join(element.text_content().split())


def test_cases_whose_expectations_name_one_cause_share_it() -> None:
    found = grouped([declared("s/a"), declared("s/b", because="said otherwise")])
    assert list(found) == ["fx_no_transposed"]


def test_cases_whose_expectations_have_no_key_share_a_cause_where_they_share_the_reason() -> None:
    first = make_failed("s/a", expected=make_expectation(because="one reason", title=None))
    second = make_failed("s/b", expected=make_expectation(because="one reason", title="The reason in short"))
    third = make_failed("s/c", expected=make_expectation(because="another reason"))
    found = causes([first, second, third])
    assert [(cause.title, len(cause.records)) for cause in found] == [("The reason in short", 2), ("another reason", 1)]


def test_a_case_that_agrees_has_no_cause() -> None:
    assert cause_key(make_record()) is None


def test_a_long_reason_has_a_short_key_that_no_other_reason_has() -> None:
    start = "the same words at the beginning of two reasons, and then " * 3
    first, second = (make_failed(expected=make_expectation(because=f"{start}{end}")) for end in ("this", "that"))
    keys = {cause_key(first), cause_key(second)}
    assert len(keys) == 2
    assert all(key is not None and len(key) < 60 for key in keys)


def test_an_unexpected_failure_is_called_what_happens() -> None:
    (cause,) = causes([make_failed(expected=None, unexpected=True)])
    assert (cause.title, cause.declared) == ("fx failed at prepare (NotImplementedError)", False)


def test_an_unexpected_difference_has_the_cause_that_its_diagnosis_recognizes() -> None:
    recognized = Recognized(name="batch_norm_eps_replaced", kind="defect", sentence="pt2e has another eps")
    record = make_diverged(diagnosis=make_diagnosis(causes=(recognized,)))
    (cause,) = causes([record])
    assert (cause.title, cause.sentence, cause.declared) == ("Batch norm eps replaced", "pt2e has another eps", False)


def test_what_ended_otherwise_than_expected_is_not_declared() -> None:
    (cause,) = causes([make_diverged(expected=make_expectation(**DECLARED))])
    assert not cause.declared


def test_what_nobody_declared_comes_first_and_then_what_is_gravest() -> None:
    records = [
        *(declared(f"s/{number}", cause="c_error") for number in range(3)),
        declared("s/4", cause="c_design", impact="by_design"),
        declared("s/5", cause="c_numbers", impact="wrong_numbers"),
        make_diverged("s/6"),
    ]
    assert [cause.key for cause in causes(records)][1:] == ["c_numbers", "c_error", "c_design"]
    assert not causes(records)[0].declared


def test_who_is_nearer_to_the_float_model_is_counted_over_the_cases_of_a_cause() -> None:
    sides = {"pt2e": make_outcome("pt2e", sqnr_db=30.0), "fx": make_outcome("fx", sqnr_db=20.0)}
    expected = make_expectation("diverged", **DECLARED)
    record = make_diverged(expected=expected, unexpected=False, unexpected_because=None, pipelines=sides)
    (cause,) = causes([record])
    assert cause.spread is not None
    assert cause.spread.nearer == {"pt2e": 1}


def line_of(page: Any) -> Any:
    (found,) = page.xpath("//section[@id='causes']//p[starts-with(@id, 'cause-')]/ancestor::details[1]")
    return found


def test_a_cause_is_a_folded_line_that_says_impact_title_and_cases() -> None:
    line = line_of(page_of(declared("s/a"), declared("s/b")))
    assert "open" not in line.attrib
    assert words(line[0]).startswith("✗ error FX graph mode does not train transposed convolutions 2 cases")


def test_an_open_cause_says_what_it_means_what_to_do_why_and_what_upstream_says() -> None:
    line = line_of(page_of(declared("s/a"), declared("s/b"), scripts={"s/b": "import torch\n"}))
    told = words(line)
    for sentence in (
        "FX graph mode raises on a transposed convolution.",
        "What to do: Use PT2E.",
        "Why: There is no module for it (conv.py).",
        ": closed on 2026-08-19.",
    ):
        assert sentence in told
    assert [link for link in line.xpath(".//a/@href") if link == ISSUE.link] == [ISSUE.link]
    assert any(link.startswith("repro/s-b-") for link in line.xpath(".//a/@href"))


@pytest.mark.parametrize(("cases", "shown", "searches"), [(6, 6, 0), (7, 6, 1)])
def test_the_first_cases_stand_there_and_a_search_finds_all(cases: int, shown: int, searches: int) -> None:
    line = line_of(page_of(*(declared(f"s/{number}") for number in range(cases))))
    links = line.xpath(".//ul[@class='ids']//a/@href")
    assert len([link for link in links if link.startswith("#case=")]) == shown
    assert links.count("#q=cause:fx_no_transposed") == searches


def test_causes_of_one_case_are_folded_together_at_the_end() -> None:
    records = [declared("s/a"), declared("s/b"), *(declared(f"s/{key}", cause=f"c_{key}") for key in "cde")]
    (section,) = page_of(*records).xpath("//section[@id='causes']//div[@class='causes']")
    assert [words(line[0]) for line in section][1:] == ["3 causes of one case each"]
    assert len(section.xpath("./details[2]/details")) == 3


def test_causes_of_one_case_say_how_many_of_them_nobody_declared() -> None:
    (line,) = page_of(declared("s/a"), make_diverged("s/b")).xpath("//section[@id='causes']/div/details")
    assert words(line[0]) == "2 causes of one case each, 1 of them not declared"


def test_a_cause_that_nobody_declared_says_so() -> None:
    page = page_of(make_diverged("s/a"), make_diverged("s/b"))
    assert words(line_of(page)[0]).startswith("! not declared")


def test_what_the_cases_of_a_cause_have_in_common_stands_in_its_open_part() -> None:
    axes = [{"pattern": "a", "dim": 2}, {"pattern": "a", "dim": 1}]
    records = [
        *(make_failed(f"s/{n}", expected=make_expectation(**DECLARED), axes=axes[n]) for n in range(2)),
        make_record("s/9", axes={"pattern": "b", "dim": 1}),
    ]
    assert "In common: pattern=a: 2 cases." in words(line_of(page_of(*records)))


def test_a_run_in_which_all_agree_has_no_section_of_causes() -> None:
    assert page_of(make_record()).xpath("//section[@id='causes']") == []


def test_a_case_leads_to_its_cause() -> None:
    record = declared("s/a")
    facts = case_facts(report_data(make_run(declared=1), [record]))(record)
    assert '<a href="#cause-fx_no_transposed">FX graph mode does not train transposed convolutions</a>' in facts
    assert "<strong>What to do:</strong> Use PT2E." in facts


@pytest.mark.parametrize("key", [HOSTILE, '"><script>alert(1)</script>', "", "a b", "-"])
def test_a_key_that_a_record_invents_is_no_name_in_a_link(key: str) -> None:
    found = cause_key(declared("s/a", cause=key))
    assert found == "there-is-no-module-for-it-conv-py"


def test_hostile_words_of_a_cause_are_text_everywhere() -> None:
    words_of = dict.fromkeys(("title", "sentence", "advice", "because", "link"), HOSTILE)
    issue = Issue(link="javascript:alert(1)", state="open", checked=HOSTILE)
    records = [declared("s/a", **words_of, issue=issue), declared("s/b", **words_of, issue=issue)]
    page = page_of(*records)
    assert page.xpath("//section[@id='causes']//*[self::script or self::i or self::b]") == []
    assert not any(link.strip().startswith("javascript:") for link in page.xpath("//a/@href"))
    text = summary_md(report_data(make_run(declared=2), records))
    text += issue_md("pass", record=records[0], environment=ENVIRONMENT)
    assert "<script>" not in text
    assert "javascript:alert(1)>" not in text
    assert "\x1b" not in text


def test_the_summary_has_the_causes_under_the_anchors_of_the_report() -> None:
    records = [declared("s/a"), declared("s/b"), make_diverged("s/c")]
    text = summary_md(report_data(make_run(declared=3), records))
    assert text.count('<a id="cause-fx_no_transposed"></a>') == 1
    assert "<summary>✗ error: FX graph mode does not train transposed convolutions: 2 cases</summary>" in text
    assert "\nWhat to do: Use PT2E.\n" in text
    assert "<summary>! not declared: pt2e and fx diverged: 1 case</summary>" in text


def test_a_bug_report_names_the_known_cause_under_its_anchor() -> None:
    text = issue_md("pass", record=declared("s/a"), environment=ENVIRONMENT)
    assert '<a id="cause-fx_no_transposed"></a>' in text
    assert "**FX graph mode does not train transposed convolutions** (`index.html#cause-fx_no_transposed`)" in text
    assert "- What to do: Use PT2E." in text
    assert f"- Upstream: <{ISSUE.link}>, closed on 2026-08-19." in text


def test_a_record_of_an_earlier_version_has_the_cause_that_its_reason_makes() -> None:
    known = to_jsonable(declared("s/a"))
    for later in ("cause", "sentence", "impact", "advice", "issue"):
        del known["expected"][later]
    (cause,) = causes([from_jsonable(Record, known)])
    assert (cause.key, cause.impact, cause.declared) == ("there-is-no-module-for-it-conv-py", None, True)


def test_a_bug_report_of_what_nobody_expected_names_no_known_cause() -> None:
    assert "Known cause" not in issue_md("pass", record=make_diverged(), environment=ENVIRONMENT)
