"""The matrix as a grid: its axes, its cells, its keys, and that it follows the search."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from browser.conftest import Open


def to_matrix(page: Page) -> None:
    page.locator("#matrix").scroll_into_view_if_needed()
    expect(page.locator("#matrix-grid .line").first).to_be_attached()


def rows_of(page: Page) -> list[str]:
    return page.locator("#matrix-grid .line:visible .rh").all_inner_texts()


def heads_of(page: Page) -> list[str]:
    return page.locator("#matrix-grid .ch:visible").all_inner_texts()


def test_it_has_patterns_by_quantizers_and_only_what_occurs(visit: Open) -> None:
    page = visit()
    to_matrix(page)
    assert "conv_bn_relu" in rows_of(page)
    everything = heads_of(page)
    page.fill("#query", "quantizer:*per_tensor_qat verdict:failed")
    expect(page.locator("#matrix-grid .ch:visible")).to_have_count(1)
    assert rows_of(page) == ["conv_bn", "conv_bn_relu"]
    page.fill("#query", "")
    expect(page.locator("#matrix-grid .ch:visible")).to_have_count(len(everything))
    assert heads_of(page) == everything


def test_a_filter_changes_only_the_cells_that_change(visit: Open) -> None:
    page = visit(fragment="#q=dim:1")
    to_matrix(page)
    cell = page.locator("#matrix-grid a").first.element_handle()
    name = cell.get_attribute("aria-label")
    page.fill("#query", "dim:1 -verdict:crashed")
    page.wait_for_timeout(100)
    assert cell.evaluate("(link) => link.isConnected")
    assert cell.get_attribute("aria-label") == name


def test_a_cell_says_its_row_its_column_and_its_verdicts(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed")
    to_matrix(page)
    name = page.locator("#matrix-grid a").first.get_attribute("aria-label")
    assert name == "conv_bn, xnnpack_int8_per_channel_qat: 2 failed; as expected"


def test_a_cell_filters_to_its_cases(visit: Open) -> None:
    page = visit(fragment="#rows=pattern&cols=conv,dim&q=verdict:failed")
    to_matrix(page)
    page.locator("#matrix-grid a").first.click()
    expect(page.locator("#filter-count")).to_have_text("2 of 59 cases")
    expect(page.locator("#query")).to_have_value("verdict:failed pattern:conv_bn conv:conv_transpose dim:1")


def test_the_reader_chooses_its_axes(visit: Open) -> None:
    page = visit()
    to_matrix(page)
    for side, values in (("Rows", ("conv", "", "")), ("Columns", ("device", "", ""))):
        for level, value in enumerate(values):
            page.get_by_label(f"{side}, axis {level + 1}").select_option(value)
    assert rows_of(page) == ["–", "conv", "conv_transpose"]
    assert heads_of(page) == ["cpu", "cuda"]
    labels = [str(item.get_attribute("aria-label")) for item in page.locator("#matrix-grid a").element_handles()]
    assert (
        sum(int(count) for label in labels for count in re.findall(r"(\d+) (?!unexpected)", label.partition(": ")[2]))
        == 59
    )
    page.get_by_role("button", name="Swap").click()
    assert page.url.endswith("rows=device&cols=conv")


def test_it_is_one_stop_for_tab_and_arrows_go_about_in_it(visit: Open) -> None:
    page = visit()
    to_matrix(page)
    expect(page.locator("#matrix-grid [tabindex='0']")).to_have_count(1)
    page.locator("#matrix-grid [tabindex='0']").focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert second.partition(",")[0] == first.partition(",")[0]
    assert second != first
    page.keyboard.press("ArrowDown")
    assert (
        page.evaluate("document.activeElement.getAttribute('aria-label')").partition(",")[0] != first.partition(",")[0]
    )
    page.keyboard.press("Control+Home")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == first
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == first
    expect(page.locator("#matrix-grid [tabindex='0']")).to_have_count(1)


def test_a_search_that_fits_nothing_says_so(visit: Open) -> None:
    page = visit(fragment="#q=dim:7")
    expect(page.get_by_text("No case fits this search.").first).to_be_visible()
    page.locator("#matrix").scroll_into_view_if_needed()
    expect(page.locator("#matrix-none")).to_be_visible()


def test_a_cell_shows_a_case_that_did_not_run_only_where_none_ran(visit: Open) -> None:
    page = visit("partly")
    to_matrix(page)
    cell = page.locator("#matrix-grid a")
    expect(cell).to_have_text("✓")
    assert "1 skipped, 1 exact" in str(cell.get_attribute("aria-label"))
    page.fill("#query", "verdict:skipped")
    expect(cell).to_have_text("↷")
