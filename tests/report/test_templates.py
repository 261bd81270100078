"""Compiled templates: a page is the same to the byte with and without them, and nothing about them can be in the way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest

from qatrix.report.frames import report_data
from qatrix.report.html import index_html, templating
from qatrix.report.templates import compiled
from support.demo_run import demo_records
from support.records import make_run


@pytest.fixture(autouse=True)
def _one_environment_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    templating.environment.cache_clear()
    yield
    templating.environment.cache_clear()


def page() -> str:
    """A page by templates that no process before had."""
    templating.environment.cache_clear()
    records = demo_records()
    return index_html(report_data(make_run(declared=len(records)), records))


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "qatrix/templates").rglob("*"))


def no_compiler(*_: object, **__: object) -> None:
    pytest.fail("a template was compiled that is kept")


def test_a_page_is_the_same_however_its_templates_came(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first = page()
    with monkeypatch.context() as patch:
        patch.setattr(jinja2.Environment, "compile", no_compiler)
        second = page()
    monkeypatch.setenv("QATRIX_TEMPLATE_CACHE", "off")
    before = kept(tmp_path)

    assert first == second == page()
    assert kept(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"no checksum", b"\xff" * 5000], ids=["empty", "text", "bytes"])
def test_a_damaged_file_is_compiled_anew(content: bytes, tmp_path: Path) -> None:
    whole = page()
    files = [path for path in kept(tmp_path) if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(content)

    assert page() == whole
    assert all(path.read_bytes() != content for path in files)


def test_where_nothing_can_be_kept_templates_are_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = page()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert page() == whole
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert compiled("page") is None
    assert page() == whole


def no_home() -> Path:
    msg = "Could not determine home directory."
    raise RuntimeError(msg)


def test_other_code_another_python_and_other_options_have_files_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page()
    (first,) = (tmp_path / "qatrix/templates").iterdir()
    monkeypatch.setattr("qatrix.report.templates.code_digest", lambda _: "other code")
    page()
    monkeypatch.setattr(sys, "version", "another Python")
    page()
    monkeypatch.setattr("qatrix.report.html.templating.compiled", lambda _: compiled("findings"))
    page()

    folders = list((tmp_path / "qatrix/templates").iterdir())
    assert len(folders) == 4
    assert first in folders
