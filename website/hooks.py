"""What MkDocs calls: it adds the generated pages and files, and mends the links of pages that leave docs/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from qatrix.report.findings import from_json
from website import commands, demo, findings, links, schemas
from website.generated import Generated

ROOT: Final = Path(__file__).parents[1]
_ASSETS: Final = ROOT / "website/assets"
_FINDINGS: Final = "findings.json"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of docs/ and the generated ones."""
    for page in (*_front_pages(), *schemas.pages(), commands.page(), *_findings(config)):
        files.append(File.generated(config, page.path, content=page.text))
    for asset in sorted(_ASSETS.iterdir()):
        files.append(File.generated(config, f"assets/{asset.name}", abs_src_path=str(asset)))
    run = ROOT / str(config.extra["demo_run"])
    files.append(File.generated(config, "demo.md", content=demo.page(run)))
    for name, path in demo.files(run):
        files.append(File.generated(config, f"demo/{name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with links that stay inside the site; the findings' page with their table."""
    del files
    if page.file.src_uri == "findings.md":
        # The table takes the room of the page's contents.
        page.meta["hide"] = ["toc"]
        markdown = findings.with_table(markdown, from_json(_document(config)))
    return links.inside(markdown)


def _front_pages() -> list[Generated]:
    """The pages that lie beside docs/, as GitHub wants them."""
    pages = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
    return [
        Generated(path=path, text=links.moved((ROOT / name).read_text(encoding="utf-8")))
        for name, path in pages.items()
    ]


def _findings(config: MkDocsConfig) -> tuple[Generated, ...]:
    return findings.pages(from_json(_document(config)))


def _document(config: MkDocsConfig) -> str:
    return (Path(config.docs_dir) / _FINDINGS).read_text(encoding="utf-8")
