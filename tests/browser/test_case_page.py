"""The page of a case as its readers use it: what stands first, by keys, on a phone, in the dark, without a mouse."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from browser.conftest import Open

KINDS = ("drawn", "failed", "exact", "deployed", "hostile")
_OPEN_ALL = "document.querySelectorAll('#case-view details').forEach(item => { item.open = true; })"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_case_with_everything_open(visit: Open, scheme: str, width: int, kind: str) -> None:
    page = visit("drawn", f"#case=models/{kind}", color_scheme=scheme, viewport={"width": width, "height": 900})
    page.evaluate(_OPEN_ALL)
    found = Axe().run(page, options={"resultTypes": ["violations"]})
    assert [(item["id"], item["nodes"][0]["html"][:200]) for item in found.response["violations"]] == []


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
    assert drawing.locator("rect").count() == 9
    assert drawing.locator("path").count() == 4
    assert drawing.locator(".own").count() == 3
    first = drawing.locator(".own rect").first
    assert float(str(first.evaluate("item => getComputedStyle(item).strokeWidth")).removesuffix("px")) > 2


def test_hostile_names_draw_no_element(visit: Open) -> None:
    page = visit("drawn", "#case=models/hostile")
    page.evaluate(_OPEN_ALL)
    assert page.locator("#case-view script, #case-view img, #case-view iframe").count() == 0
