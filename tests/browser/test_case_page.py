"""The page of a case as its readers use it: what stands first, by keys, on a phone, in the dark, without a mouse."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from browser.conftest import Open, violations_in_both_schemes
from qatrix.resources import folder

KINDS = ("drawn", "failed", "exact", "deployed", "hostile")
_OPEN_ALL = "document.querySelectorAll('#case-view details').forEach(item => { item.open = true; })"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1440, 390])
def test_axe_finds_nothing_on_a_case_with_everything_open(visit: Open, width: int, kind: str) -> None:
    page = visit("drawn", f"#case=models/{kind}", viewport={"width": width, "height": 900})
    page.evaluate(_OPEN_ALL)
    assert violations_in_both_schemes(page) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1440, 390, 320])
def test_a_case_scrolls_up_and_down_only(visit: Open, width: int, kind: str) -> None:
    page = visit("drawn", f"#case=models/{kind}", viewport={"width": width, "height": 900})
    page.evaluate(_OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_why_they_differ_is_seen_without_scrolling(visit: Open) -> None:
    page = visit("drawn", "#case=models/drawn", viewport={"width": 1440, "height": 900})
    heading = page.get_by_role("heading", name="Why they differ")
    box = heading.bounding_box()
    assert box is not None
    assert box["y"] <= 400


def test_the_banner_of_the_run_comes_back_with_the_list(visit: Open) -> None:
    page = visit("drawn", "#case=models/drawn")
    expect(page.locator("header .banner")).to_be_hidden()
    page.get_by_role("link", name="All cases").click()
    expect(page.locator("header .banner")).to_be_visible()


def test_the_layer_at_fault_is_open_and_the_equal_ones_unfold_by_key(visit: Open) -> None:
    page = visit("drawn", "#case=models/drawn")
    view = page.locator("#case-view")
    assert view.locator(".at-fault").get_attribute("open") is not None
    equal = view.locator("details.equal").first
    assert equal.get_attribute("open") is None
    equal.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(equal.locator("table")).to_be_visible()


@pytest.mark.parametrize("kind", ["drawn", "packed"], ids=["that stands in the page", "that is packed"])
def test_the_drawing_is_there_with_words_for_who_does_not_see_it(visit: Open, kind: str) -> None:
    page = visit("drawn", f"#case=models/{kind}")
    drawing = page.locator("#case-view .hood svg").first
    expect(drawing).to_be_visible()
    assert "pt2e: " in str(drawing.get_attribute("aria-label"))
    expect(drawing.locator("rect")).to_have_count(9)
    expect(drawing.locator("path")).to_have_count(4)
    expect(drawing.locator(".own")).to_have_count(3)
    first = drawing.locator(".own rect").first
    assert float(str(first.evaluate("item => getComputedStyle(item).strokeWidth")).removesuffix("px")) > 2


def test_hostile_names_draw_no_element(visit: Open) -> None:
    page = visit("drawn", "#case=models/hostile")
    page.evaluate(_OPEN_ALL)
    expect(page.locator("#case-view script, #case-view img, #case-view iframe")).to_have_count(0)


def test_a_case_leads_to_its_page_of_an_earlier_run(visit: Open) -> None:
    page = visit("again", "#case=models/a")
    link = page.locator("#case-view .past a")
    assert link.get_attribute("href") == "../20260101/index.html#case=models/a"


def test_packed_facts_lead_to_pages_of_runs_and_nowhere_else(visit: Open) -> None:
    source = (folder("templates") / "report/explorer/case.js").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"^const SAFE_LINK = (/.*/);$", source, re.MULTILINE)
    good = ["../20261129-101500/index.html#case=a/b,c=1", "../../over%20there/index.html", "index.html"]
    bad = [
        "javascript:alert(1)//index.html",
        "../x/../../index.html",
        "//host.example/index.html",
        "/etc/index.html",
        "../x/other.html",
        "file:///x/index.html",
    ]
    kept = visit("drawn").evaluate(f"hrefs => hrefs.filter(href => {pattern}.test(href))", [*good, *bad])
    assert kept == good


def test_facts_that_come_late_are_not_shown_under_another_address(visit: Open) -> None:
    page = visit("drawn")
    page.evaluate(
        """() => {
            const read = Response.prototype.text;
            const gate = new Promise(resolve => { globalThis.come = resolve; });
            Response.prototype.text = async function () { await gate; return read.call(this); };
        }"""
    )
    title = page.title()
    page.evaluate("location.hash = '#case=models/failed'")
    expect(page.locator("#report")).to_be_hidden()
    page.evaluate("location.hash = '#cases'")
    page.locator("#query").focus()
    page.evaluate("come()")
    page.wait_for_timeout(200)
    assert page.title() == title
    assert page.evaluate("document.activeElement.id") == "query"
    assert "models/failed" not in str(page.locator("#case-view").text_content())


def test_on_a_phone_the_drawing_begins_at_what_differs(visit: Open) -> None:
    page = visit("drawn", "#case=models/drawn", viewport={"width": 390, "height": 900})
    drawing = page.locator("#case-view .hood .scroll").first
    box, frame = drawing.locator(".own rect").first.bounding_box(), drawing.bounding_box()
    assert box is not None
    assert frame is not None
    assert frame["x"] <= box["x"] < frame["x"] + 40


def test_on_paper_the_whole_drawing_is_there(visit: Open) -> None:
    page = visit("drawn", "#case=models/drawn", viewport={"width": 390, "height": 900})
    page.emulate_media(media="print")
    drawing = page.locator("#case-view .hood .scroll").first
    assert drawing.evaluate("item => item.scrollWidth <= item.clientWidth")
