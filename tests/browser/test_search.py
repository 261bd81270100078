"""The search field: its language, its faults, the filters and chips that edit it, and what is taken away of its result."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Open


def shown(page: Page) -> int:
    return int(page.locator("#filter-count").inner_text().split()[0])


def search(page: Page, query: str) -> int:
    page.fill("#query", query)
    return shown(page)


@pytest.mark.parametrize(
    ("query", "fitting"),
    [
        ("", 59),
        ("fx failed", 6),
        ('"fx failed"', 6),
        ('"failed fx"', 0),
        ("verdict:failed", 6),
        ("VERDICT:Failed", 6),
        ("verdict:failed,exact", 44),
        ("-verdict:failed", 53),
        ("NOT verdict:failed", 53),
        ("verdict:failed OR verdict:exact", 44),
        ("verdict:failed dim:2 OR verdict:exact dim:2", 20),
        ("(verdict:failed OR verdict:exact) dim:2", 20),
        ("verdict:failed AND dim:2", 4),
        ("-(verdict:failed OR dim:2)", 30),
        ("quantizer:*per_tensor*", 26),
        ("quantizer:xnnpack_int8_per_?????? ", 0),
        ("dim:–", 10),
        ("dim:none", 10),
        ("dim>1", 27),
        ("dim>=1 dim<2", 22),
        ("suite:models", 10),
        ("is:unexpected", 6),
        ("is:expected", 53),
        ("seconds>2 seconds<1", 0),
        ("error:NotImplementedError", 6),
        ("pattern:conv_bn,conv_bn_relu conv:conv_transpose", 8),
        ("cause:* verdict:failed", 6),
        ("axis.dim:2", 27),
        ("conv_bn/conv_bn/conv=conv_transpose,dim=1", 2),
    ],
)
def test_a_query_finds_its_cases(demo: Page, query: str, fitting: int) -> None:
    assert search(demo, query) == fitting
    expect(demo.locator("#query-fault")).to_have_text("")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("verdict:", "verdict: needs a value"),
        ("verdikt:failed", "There is no field verdikt; did you mean verdict?"),
        ("verdict:fialed", "There is no verdict fialed; did you mean failed?"),
        ("sqnr<low", "sqnr< needs one number, not low"),
        ("is:odd", "is: takes unexpected, expected, known, reused, not odd"),
        ('"open', "is not closed"),
        ("(dim:2", "A parenthesis is not closed"),
        ("dim:2)", "A parenthesis closes here that was never opened"),
        ("dim:2 OR", "Something is missing at the end"),
        ("OR dim:2", "OR needs something on both sides"),
        ("dim:2,", "dim: needs a value"),
        ("nothing:1", "There is no field nothing. To search for the text itself"),
        (f"{'n' * 90}:1", f"There is no field {'n' * 60}…. To search"),
        ("()", "Something is missing before )."),
        ("(dim:2 OR )", "Something is missing before )."),
        ("(dim:2))", "A parenthesis closes here that was never opened"),
        ('verdict:""', "verdict: needs a value, such as verdict:exact."),
        ("(" * 200, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_said_and_leaves_the_last_result(demo: Page, query: str, says: str) -> None:
    assert search(demo, "verdict:failed") == 6
    assert search(demo, query) == 6
    assert says in demo.locator("#query-fault").inner_text()
    assert demo.locator("#query").get_attribute("aria-invalid") == "true"
    assert search(demo, "verdict:exact") == 38
    assert demo.locator("#query").get_attribute("aria-invalid") == "false"


def test_a_hostile_query_is_text(visit: Open) -> None:
    page = visit()
    page.fill("#query", "<img src=x onerror=alert(1)>:1")
    search(page, '"<b>":1')
    assert "There is no field <b>" in page.locator("#query-fault").inner_text()
    expect(page.locator("#query-fault *")).to_have_count(0)


def test_a_query_is_in_the_address_and_each_step_can_be_taken_back(visit: Open) -> None:
    page = visit()
    page.locator(".chips a", has_text="failed").last.click()
    expect(page).to_have_url(page.url.partition("#")[0] + "#q=verdict:failed")
    page.locator(".chips a", has_text="exact").click()
    expect(page.locator("#query")).to_have_value("verdict:failed,exact")
    assert shown(page) == 44
    page.go_back()
    assert shown(page) == 6
    page.click("#filter-clear")
    assert shown(page) == 59
    assert "#" not in page.url


def test_typing_replaces_the_address(visit: Open) -> None:
    page = visit()
    page.locator("#query").press_sequentially("dim:2")
    expect(page).to_have_url(page.url.partition("#")[0] + "#q=dim:2")
    assert page.evaluate("history.length") == 2


def test_a_chip_joins_what_is_asked_for_and_says_that_it_is_on(visit: Open) -> None:
    page = visit(fragment="#q=dim:2+OR+dim:1")
    chip = page.locator(".chips a", has_text="failed").last
    chip.click()
    expect(page.locator("#query")).to_have_value("(dim:2 OR dim:1) verdict:failed")
    assert chip.get_attribute("aria-current") == "true"
    chip.click()
    expect(page.locator("#query")).to_have_value("(dim:2 OR dim:1)")


def test_facets_count_what_is_shown_and_edit_the_query(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed")
    page.locator("#filters > summary").click()
    facet = page.get_by_role("group", name="conv", exact=True)
    expect(facet.get_by_role("button")).to_have_text(["conv_transpose 6"])
    verdicts = page.get_by_role("group", name="verdict", exact=True)
    assert verdicts.get_by_role("button", pressed=True).all_text_contents() == ["✗ failed 6"]
    verdicts.get_by_role("button", name="exact").click()
    expect(page.locator("#query")).to_have_value("verdict:failed,exact")
    page.get_by_role("group", name="dim", exact=True).get_by_role("button", name=re.compile("^2 ")).click()
    expect(page.locator("#query")).to_have_value("verdict:failed,exact dim:2")
    assert shown(page) == 20


def test_the_help_has_examples_that_work(visit: Open) -> None:
    page = visit()
    page.keyboard.press("?")
    examples = page.locator("#examples button").all_inner_texts()
    assert len(examples) >= 6
    page.keyboard.press("Escape")
    for example in examples:
        search(page, example)
        expect(page.locator("#query-fault")).to_have_text("")
    page.locator("#help summary").click()
    page.locator("#examples button").first.click()
    expect(page.locator("#query")).to_have_value(examples[0])
    expect(page.locator("#help .panel")).to_be_hidden()


def taken(page: Page, kind: str) -> str:
    page.evaluate("document.getElementById('take').open = true")
    with page.expect_download() as download:
        page.get_by_role("button", name=kind).click()
    return download.value.path().read_text(encoding="utf-8")


def test_what_is_listed_is_taken_away(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed")
    table = list(csv.DictReader(io.StringIO(taken(page, "CSV"))))
    assert {row["verdict"] for row in table} == {"failed"}
    assert table[0]["axis_conv"] == "conv_transpose"
    data = json.loads(taken(page, "JSON"))
    assert data["query"] == "verdict:failed"
    assert [case["case_id"] for case in data["cases"]] == [row["case_id"] for row in table]
    lines = taken(page, "Markdown").splitlines()
    assert sum(line.startswith("| ✗ failed") for line in lines) == 6


def test_hostile_names_stay_text_in_what_is_taken_away(visit: Open) -> None:
    page = visit("hostile")
    cells = [cell for row in csv.reader(io.StringIO(taken(page, "CSV"))) for cell in row]
    assert [cell for cell in cells if cell.lstrip()[:1] in {"=", "+", "@"}] == []
    markdown = taken(page, "Markdown")
    assert len([line for line in markdown.splitlines() if line.startswith("| ")]) == 2 + 2


def test_commands_run_again_what_is_listed_and_show_one(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed", permissions=["clipboard-read", "clipboard-write"])
    page.locator("#take summary").click()
    command = page.locator("#take-commands code").first.inner_text()
    assert command.startswith("qatrix run")
    assert command.count("--case") == 6
    page.locator("#take-commands button").last.click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("qatrix show ")


def test_a_query_of_axes_alone_is_run_again_by_its_axes(visit: Open) -> None:
    page = visit(fragment="#q=dim:2+conv:conv,conv_transpose")
    page.locator("#take summary").click()
    assert "--only dim=2 --only conv=conv,conv_transpose" in page.locator("#take-commands code").first.inner_text()


def test_a_case_opened_right_after_typing_keeps_its_address_and_the_way_back(visit: Open) -> None:
    page = visit()
    page.locator("#query").press_sequentially("verdict:failed")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#case-view")).to_be_visible()
    page.wait_for_timeout(400)
    assert "#case=" in page.url
    page.go_back()
    expect(page).to_have_url(re.compile("#q=verdict:failed$"))


def test_only_a_whole_figure_is_no_formula(visit: Open) -> None:
    page = visit("formulas")
    (row,) = csv.DictReader(io.StringIO(taken(page, "CSV")))
    assert (row["axis_pattern"], row["axis_eps"], row["axis_dim"]) == ("'-1+cmd|' /C calc'!A1", "-1.5e-05", "'-2x")


@pytest.mark.parametrize(("key", "reached"), [("/", "#query"), ("?", "#help summary")])
def test_keys_reach_the_search_from_a_case(visit: Open, key: str, reached: str) -> None:
    page = visit(fragment="#q=verdict:failed")
    page.locator("#grid a.id").first.click()
    expect(page.locator("#case-view")).to_be_visible()
    page.keyboard.press(key)
    expect(page.locator(reached)).to_be_focused()
    assert shown(page) == 6


def test_the_link_copied_in_a_section_has_the_query(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed", permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("location.hash = '#matrix'")
    page.locator("#take summary").click()
    page.click("#copy-link")
    expect(page.locator("#copy-link")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").endswith("index.html#q=verdict:failed")


def test_what_is_listed_keeps_its_query_while_another_cannot_be_read(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed+dim:2")
    page.fill("#query", "verdict:failed dim:2 (")
    assert json.loads(taken(page, "JSON"))["query"] == "verdict:failed dim:2"
    chip = page.locator(".chips a", has_text="failed").last
    assert chip.get_attribute("aria-current") == "true"
    page.locator(".chips a", has_text="exact").click()
    expect(page.locator("#query")).to_have_value("verdict:failed,exact dim:2")
    expect(page.locator("#query-fault")).to_have_text("")


def test_one_case_fits(visit: Open) -> None:
    page = visit(fragment="#q=fx+is:unexpected")
    assert taken(page, "Markdown").startswith("1 case that fits `fx is:unexpected`, run")
