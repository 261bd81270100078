"""The site of the documentation: it builds without a warning, its links lead somewhere, and its readers find things."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Dialog, Locator, Page
from playwright.sync_api import TimeoutError as TooSlow

from qatrix.report.findings import FindingFacts, as_json, from_json
from qatrix.report.findings.scripts import script_files
from qatrix.report.writing import write_reports
from support.demo_run import demo_records, write_store

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final = from_json((ROOT / "docs/findings.json").read_text(encoding="utf-8"))
PADDING: Final = "FX graph mode pads with zeros, whatever the padding mode"
Open = Callable[..., Page]


def build(site: Path, *options: str, demo: Path | None = None) -> str:
    """Build the site; what MkDocs says."""
    pytest.importorskip("material", reason="the site needs mkdocs-material, which the tests' environment has")
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'runner'}{os.pathsep}{ROOT}",
        "NO_MKDOCS_2_WARNING": "1",
        "QATRIX_DEMO_RUN": str(demo or site / "no-run"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site), *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site with the report of a small run, and what MkDocs said."""
    folder = tmp_path_factory.mktemp("site")
    run = folder / "run"
    run.mkdir()
    write_reports(write_store(run / "run.sqlite", demo_records()), run)
    return folder / "built", build(folder / "built", demo=run)


@pytest.fixture
def site(built: tuple[Path, str]) -> Path:
    return built[0]


@pytest.fixture
def visit_site(browser: Browser) -> Iterator[Open]:
    """Opens a page of a site from its file; any request for something else, and any error or dialog, fails the test."""
    contexts = []
    wrong: list[str] = []

    def on_dialog(dialog: Dialog) -> None:
        wrong.append(dialog.message)
        dialog.dismiss()

    def opened(path: Path, fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(viewport={"width": 1400, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: wrong.append(request.url) if outside(request.url) else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", on_dialog)
        page.goto(path.as_uri() + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


def outside(address: str) -> bool:
    return not address.startswith(("file:", "data:", "about:", "blob:"))


class Addresses(HTMLParser):
    """What a page links to, what it loads, and its own anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag in {"script", "img", "iframe"} and "src" in values:
            self.loads.append(values["src"])
        elif tag == "link" and values.get("rel") != "canonical":
            self.loads.append(values["href"])


@pytest.fixture(scope="module")
def pages(built: tuple[Path, str]) -> dict[Path, Addresses]:
    """The pages that MkDocs wrote; the report of the demo has tests of its own, and 404 is written for a server."""
    written = [path for path in built[0].rglob("*.html") if "demo" not in path.relative_to(built[0]).parts[:-1]]
    return {path: Addresses(path.read_text(encoding="utf-8")) for path in written if path.name != "404.html"}


def test_the_site_builds_without_a_warning(built: tuple[Path, str]) -> None:
    assert "WARNING" not in built[1]
    assert "Documentation built" in built[1]


def test_no_page_loads_anything_from_another_host(pages: dict[Path, Addresses]) -> None:
    assert {load for page in pages.values() for load in page.loads if urlsplit(load).netloc} == set()


def leads_somewhere(link: str, path: Path, pages: dict[Path, Addresses]) -> bool:
    """Whether a link of a page leads to a file of the site, and to an anchor where it names one."""
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if parts.scheme or parts.netloc or not target.is_file():
        return bool(parts.scheme or parts.netloc)
    # `#component=…` is what the table of findings shows, and no anchor.
    return target not in pages or "=" in parts.fragment or unquote(parts.fragment) in pages[target].anchors


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(pages: dict[Path, Addresses]) -> None:
    links = [(path, link) for path, page in pages.items() for link in (*page.links, *page.loads)]

    assert [(path.name, link) for path, link in links if not leads_somewhere(link, path, pages)] == []
    assert len(links) > 1000


def test_every_finding_has_its_page_and_its_script(site: Path) -> None:
    pages = {path.stem for path in (site / "findings").glob("*.html")}
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (site / "findings").glob("*.py")}

    assert pages == {facts.name for facts in DOCUMENT.findings}
    assert scripts == {file.name: file.text for file in script_files(DOCUMENT.findings).values()}


def test_the_live_report_opens_from_its_page(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "demo.html")
    page.get_by_role("link", name="Open the report").click()
    page.wait_for_selector("html.ready", timeout=60_000)

    assert page.url.endswith("demo/index.html")


def test_without_a_report_the_page_says_how_to_make_one(tmp_path: Path) -> None:
    other_site(tmp_path, {"index.md": "# Empty\n"}, [])

    assert "tox -e matrix" in (tmp_path / "built/demo.html").read_text(encoding="utf-8")


def searched(page: Page, words: str) -> Locator:
    """The first result; what was typed before the page listened is typed again."""
    first = page.locator(".md-search-result__link").first
    for _ in range(6):
        page.get_by_role("textbox", name="Search").fill("")
        page.get_by_role("textbox", name="Search").press_sequentially(words)
        with suppress(TooSlow):
            first.wait_for(timeout=15_000)
            return first
    pytest.fail(f"the search for {words} has no result")


def test_a_search_for_padding_mode_finds_its_finding(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "index.html")
    first = searched(page, "padding_mode")
    assert PADDING in first.inner_text()
    first.click()

    page.wait_for_url("**/findings/fx-graph-mode-pads-with-zeros-whatever-the-padding-mode.html*")
    assert page.get_by_role("heading", level=1).inner_text().startswith(PADDING)


def shown(page: Page) -> list[str]:
    return page.locator("#findings-table tbody tr:visible a").all_inner_texts()


def about(component: str) -> list[str]:
    return [facts.title for facts in DOCUMENT.findings if component in facts.components]


def test_findings_are_filtered_by_component_and_the_address_keeps_it(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "findings.html")
    page.get_by_label("Component").select_option("ONNX Runtime")

    assert shown(page) == about("ONNX Runtime")
    assert page.get_by_role("status").inner_text() == f"{len(shown(page))} of {len(DOCUMENT.findings)} findings"
    assert page.url.endswith("#component=ONNX+Runtime")


def test_findings_are_filtered_by_impact(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "findings.html")
    page.get_by_label("Impact").select_option("wrong numbers")

    assert shown(page) == [facts.title for facts in DOCUMENT.findings if facts.impact == "wrong_numbers"]


def test_a_cause_has_the_anchor_that_it_has_in_a_report(site: Path, visit_site: Open) -> None:
    facts = DOCUMENT.findings[4]
    page = visit_site(site / "findings.html", f"#{facts.anchor}")

    assert page.locator(f"#{facts.anchor} a").inner_text() == facts.title
    assert len(shown(page)) == len(DOCUMENT.findings)


def test_a_finding_leads_to_the_others_of_its_component(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "findings" / f"{DOCUMENT.findings[4].name}.html")
    page.get_by_role("link", name="FX graph mode", exact=True).click()
    page.wait_for_url("**/findings.html#*")
    # The script that filters the table says how much of it is left.
    page.get_by_role("status").wait_for()

    assert shown(page) == about("FX graph mode")


def test_an_address_opens_the_table_filtered(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "findings.html", "#component=ExecuTorch&release=torch+2.15.0")

    assert set(shown(page)) <= set(about("ExecuTorch"))
    assert page.get_by_label("Release").input_value() == "torch 2.15.0"


def test_an_address_of_nothing_shows_everything(site: Path, visit_site: Open) -> None:
    assert len(shown(visit_site(site / "findings.html", "#component=nobody"))) == len(DOCUMENT.findings)


def test_without_javascript_the_table_has_every_finding(site: Path, visit_site: Open) -> None:
    page = visit_site(site / "findings.html", java_script_enabled=False)

    assert shown(page) == [facts.title for facts in DOCUMENT.findings]


def other_site(folder: Path, docs: dict[str, str], findings: list[FindingFacts]) -> None:
    """Build a site of these pages and findings alone into folder/built."""
    document = replace(DOCUMENT, findings=tuple(findings))
    docs = {**docs, "findings.md": "# Findings\n\n<!-- the table of findings -->\n", "findings.json": as_json(document)}
    for name, text in docs.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    settings = {
        "INHERIT": str(ROOT / "mkdocs.yml"),
        "docs_dir": str(folder / "docs"),
        "hooks": [str(ROOT / "website/hooks.py")],
        "nav": ["findings.md", "demo.md"],
        "strict": False,
    }
    (folder / "mkdocs.yml").write_text(json.dumps(settings), encoding="utf-8")
    build(folder / "built", "--config-file", str(folder / "mkdocs.yml"))


HOSTILE: Final = "<script>alert(1)</script> <img src=x onerror=alert(2)> | [x](javascript:alert(3)) `y` *z* {{ 7 * 7 }} \x1b[31m\n# h"


def test_a_hostile_finding_stays_text_on_every_page(tmp_path: Path, visit_site: Open) -> None:
    (facts, *_) = DOCUMENT.findings
    hostile = replace(
        facts,
        key="hostile",
        name="hostile",
        title=HOSTILE,
        because=HOSTILE,
        sentence=HOSTILE,
        advice=HOSTILE,
        impact="wrong_numbers",
        components=(HOSTILE,),
        suites={HOSTILE: 1},
        links=("javascript:alert(4)",),
        example=replace(facts.example, case_id=HOSTILE, summary=HOSTILE),
        script=(f"# {HOSTILE}".replace("\n", " "), "```", "</code></pre><script>alert(5)</script>"),
    )
    other_site(tmp_path, {}, [hostile])

    for name in ("findings.html", "findings/hostile.html"):
        page = visit_site(tmp_path / "built" / name)
        assert page.locator("img[src=x], a[href^=javascript]").count() == 0
        assert "<script>alert(1)</script>" in page.locator("article").inner_text()
    searched(page, "onerror")
    assert page.locator("img[src=x]").count() == 0
