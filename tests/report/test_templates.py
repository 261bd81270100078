"""Compiled templates: a page is the same to the byte with and without them, and nothing about them can be in the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from qatrix.report import templates
from qatrix.report.frames import report_data
from qatrix.report.html import index_html, templating
from qatrix.report.templates import compiled
from support.demo_run import demo_records
from support.records import make_run


@pytest.fixture(autouse=True)
def _kept_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Where Python is told to keep compiled code, and an environment for each page."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield
    templating.environment.cache_clear()


def page() -> str:
    """A page by templates that no page before had."""
    templating.environment.cache_clear()
    records = demo_records()
    return index_html(report_data(make_run(declared=len(records)), records))


def kept(tmp_path: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(tmp_path.rglob("page.*"))}


def no_compiler(*_: object, **__: object) -> None:
    pytest.fail("a template was compiled that is kept")


def test_a_page_is_the_same_however_its_templates_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = page()
    with monkeypatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", no_compiler)
        second = page()
    before = kept(tmp_path)
    monkeypatch.setenv("QATRIX_TEMPLATE_CACHE", "off")

    assert first == second == page()
    assert before
    assert kept(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"no checksum", b"\xff" * 5000], ids=["empty", "text", "bytes"])
def test_a_damaged_file_is_compiled_anew(content: bytes, tmp_path: Path) -> None:
    whole, before = page(), kept(tmp_path)
    for path in before:
        path.write_bytes(content)

    assert page() == whole
    assert kept(tmp_path) == before


def test_where_nothing_can_be_kept_templates_are_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = page()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "file"))
    assert page() == whole


def test_where_python_keeps_no_code_no_template_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    page()
    assert kept(tmp_path) == {}


def test_what_other_code_compiled_is_compiled_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole, before = page(), kept(tmp_path)
    monkeypatch.setattr(templates, "_made_by", lambda: b"another")

    assert page() == whole
    after = kept(tmp_path)
    assert after.keys() == before.keys()
    assert all(after[path] != before[path] for path in before)


@pytest.mark.parametrize("name", ["qatrix.report.templates.code_digest", "sys.version"])
def test_other_code_is_told_by_what_it_holds_and_by_the_python_that_runs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = templates._made_by()
    templates._made_by.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(name, "another" if name == "sys.version" else lambda _: "another")
        other = templates._made_by()
    templates._made_by.cache_clear()

    assert other != before == templates._made_by()


def test_an_installed_package_gets_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiled("page") is not None
    monkeypatch.setattr("qatrix.report.templates.is_checkout", lambda: False)
    assert compiled("page") is None


def test_a_template_may_lie_where_names_are_no_utf_8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "caf\udce9"
    home.mkdir()
    (home / "one.j2").write_text("{{ 1 + 1 }}")
    monkeypatch.setattr("qatrix.report.templates.folder", lambda _: home)
    for _ in range(2):
        environment = jinja2.Environment(loader=templates.templates(), bytecode_cache=compiled("page"), autoescape=True)
        assert environment.get_template("one.j2").render() == "2"


def test_environments_of_other_options_have_files_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page()
    monkeypatch.setattr("qatrix.report.html.templating.compiled", lambda _: compiled("findings"))
    page()
    names = [[path.suffix for path in sorted(tmp_path.rglob(f"{options}.*"))] for options in ("page", "findings")]
    assert names[0] == names[1] != []
