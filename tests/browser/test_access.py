"""The report for everyone: axe, Tab, phones and zoom, paper; and how long and how heavy the first page may be."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import Open, violations, violations_in_both_schemes

DEPLOYED = "deployed/relu6/runtime=xnnpack"
CASE = "conv_bn/conv_bn_relu/conv=conv_transpose,dim=2,bias=true,quantizer=xnnpack_int8_per_tensor_qat,device=cpu"
WIDTHS = {"desk": 1440, "phone": 390}
SCREEN = 900


def open_everything(page: Page) -> None:
    page.evaluate("for (const fold of document.querySelectorAll('details:not(.menu)')) fold.open = true")
    page.locator("#matrix").scroll_into_view_if_needed()
    expect(page.locator("#matrix-grid .line").first).to_be_attached()


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize(
    "place",
    ["", "#q=verdict:failed&sort=-seconds", "#q=verdikt:failed", f"#case={CASE}", "#case=models/explained"],
    ids=["report", "view", "fault", "case", "diagnosis"],
)
def test_axe_finds_nothing(visit: Open, width: int, place: str) -> None:
    page = visit(fragment=place, viewport={"width": width, "height": SCREEN})
    assert violations_in_both_schemes(page) == {}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_axe_finds_nothing_in_what_is_folded_either(visit: Open, width: int) -> None:
    page = visit(viewport={"width": width, "height": SCREEN})
    open_everything(page)
    assert violations_in_both_schemes(page) == {}


@pytest.mark.parametrize("menu", ["help", "take"])
def test_axe_finds_nothing_in_an_open_menu(visit: Open, menu: str) -> None:
    page = visit()
    page.locator(f"#{menu} summary").click()
    assert violations(page) == []


@pytest.mark.parametrize("place", ["#support", f"#case={DEPLOYED}"], ids=["support table", "runtimes"])
def test_axe_finds_nothing_about_runtimes(visit: Open, place: str) -> None:
    assert violations_in_both_schemes(visit("deployed", place)) == {}


def test_axe_finds_nothing_without_a_script(visit: Open) -> None:
    # axe is a script itself: what stands in noscript elements is put in their place.
    page = visit(ready=False)
    # The matrix is drawn when nothing else is to be done.
    expect(page.locator("#matrix-grid [role=row]").first).to_be_attached()
    page.evaluate(
        """() => {
          document.documentElement.classList.remove("explorable");
          for (const id of ["explore", "filters", "grid", "pivot", "matrix-grid"]) document.getElementById(id).remove();
          for (const plain of document.querySelectorAll("main noscript")) plain.outerHTML = plain.textContent;
        }"""
    )
    expect(page.locator("#case-table")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize("place", ["", f"#case={CASE}", "#case=models/explained"], ids=["report", "case", "diagnosis"])
@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_phone_scrolls_up_and_down_only(visit: Open, place: str, width: int, script: bool) -> None:
    page = visit(fragment=place, viewport={"width": width, "height": 844}, ready=script, java_script_enabled=script)
    body = page.locator("body")
    box = body.bounding_box()
    assert box is not None
    assert box["width"] <= width
    expect(page.locator("h1")).to_be_visible()
    if script:
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_tab_reaches_the_cases_soon(visit: Open) -> None:
    page = visit()
    before = -1
    while not page.evaluate("document.activeElement.closest('#listed') !== null"):
        page.keyboard.press("Tab")
        before += 1
        assert before <= 30


def test_the_list_of_cases_is_one_stop(visit: Open) -> None:
    page = visit()
    expect(page.locator("#listed [tabindex='0']")).to_have_count(1)
    expect(page.locator("#listed a:not([tabindex])")).to_have_count(0)


def test_the_headings_are_one_stop_and_arrows_go_from_one_to_the_next(visit: Open) -> None:
    page = visit()
    expect(page.locator("#grid thead [tabindex='0']")).to_have_count(1)
    page.locator("#grid thead [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.sort") == "case"
    expect(page.locator("#grid thead [tabindex='0']")).to_have_count(1)


def test_the_counts_are_one_stop_and_arrows_go_from_one_to_the_next(visit: Open) -> None:
    page = visit()
    expect(page.locator(".chips [tabindex='0']")).to_have_count(1)
    page.locator(".chips [tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#query")).to_have_value("verdict:exact")
    assert page.locator(".chips [tabindex='0']").get_attribute("aria-current") == "true"


def test_links_with_one_name_lead_to_one_place(visit: Open) -> None:
    page = visit()
    open_everything(page)
    links = page.evaluate(
        """() => [...document.querySelectorAll("a[href]")].filter((link) => link.checkVisibility())
          .map((link) => [link.getAttribute("aria-label") ?? link.textContent.trim(), link.getAttribute("href")])"""
    )
    places: dict[str, set[str]] = {}
    for name, href in links:
        places.setdefault(name, set()).add(href)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize(("width", "screens"), [(1440, 4), (390, 8)], ids=WIDTHS)
def test_the_first_page_of_a_thousand_cases_is_short(visit: Open, width: int, screens: int) -> None:
    page = visit("green", viewport={"width": width, "height": SCREEN})
    page.locator("#matrix").scroll_into_view_if_needed()
    expect(page.locator("#matrix-grid .line").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollHeight") <= screens * SCREEN


def test_the_first_page_of_a_thousand_cases_is_light(visit: Open) -> None:
    page = visit("thousand")
    assert page.evaluate("document.querySelectorAll('*').length") < 12_000


def test_results_are_in_sight_while_someone_types(visit: Open) -> None:
    page = visit("thousand", viewport={"width": 1440, "height": SCREEN})
    page.keyboard.press("/")
    page.keyboard.type("failed")
    row = page.locator("#listed tr").nth(3).bounding_box()
    assert row is not None
    assert 0 < row["y"] < SCREEN


def test_paper_is_short_and_nothing_is_clipped(visit: Open) -> None:
    page = visit("thousand", viewport={"width": 1440, "height": SCREEN})
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) <= 10
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    clipped = page.evaluate(
        """() => [...document.querySelectorAll("main *")].filter((item) => item.checkVisibility()
          && ["auto", "scroll", "hidden"].includes(getComputedStyle(item).overflowY)
          && item.scrollHeight > item.clientHeight + 2 && !item.matches(".sr, .sr *")).map((item) => item.id || item.className)"""
    )
    assert clipped == []


def test_paper_has_the_unexpected_and_the_first_cases_of_what_is_filtered(visit: Open) -> None:
    page = visit("thousand", fragment="#q=verdict:failed,exact")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator("#grid")).to_be_hidden()
    expect(page.locator("#explore")).to_be_hidden()
    told = page.locator("#paper tbody tr .pill").all_inner_texts()
    unexpected = [text.endswith("unexpected") for text in told]
    assert unexpected == sorted(unexpected, reverse=True)
    assert "more in the page and in results.csv" in page.locator("#paper").inner_text()


def test_paper_of_few_cases_has_all_that_are_filtered(visit: Open) -> None:
    page = visit(fragment="#q=verdict:failed")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator("#paper tbody tr:visible")).to_have_count(6)
