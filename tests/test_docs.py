"""The documentation is complete, its links lead somewhere, and its YAML loads."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from qatrix import outcomes
from qatrix.claims import Expectation
from qatrix.cli import app, documents, environments, matrices, merging, runs
from qatrix.declare.load import load
from qatrix.declare.schema import models
from qatrix.resources import folder

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
VERB_MODULES = (documents, environments, matrices, merging, runs)

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group of commands
MODELS = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, BaseModel)]
RECORDS = [
    outcomes.Record, outcomes.Comparison, outcomes.CheckOutcome, outcomes.PipelineOutcome, outcomes.StageTime,
    outcomes.ErrorReport, outcomes.Run, outcomes.Environment, outcomes.Dropped, Expectation,
]  # fmt: skip


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_and_option_is_documented(verb: str) -> None:
    options = [name for item in COMMANDS[verb].params for name in (*item.opts, *item.secondary_opts) if name[0] == "-"]
    text = page("commands.md")

    assert f"## qatrix {verb}\n" in text
    assert [name for name in options if f"`{name}" not in text] == []


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_key_of_the_yaml_is_documented(model: type[BaseModel]) -> None:
    text = page("yaml.md")
    keys = [field.alias or name for name, field in model.model_fields.items()]

    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_of_the_record_is_documented(kind: type) -> None:
    text = page("record.md")
    names = [field.name for field in dataclasses.fields(kind)]

    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("verdict", outcomes.PRECEDENCE)
def test_every_verdict_is_documented(verdict: str) -> None:
    assert f"`{verdict}`" in page("design.md")


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_every_exit_code_is_documented(code: int) -> None:
    assert f"| {code} |" in page("commands.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    relative = [link for link in links if "://" not in link]

    assert [link for link in relative if not (path.parent / link).exists()] == []


BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_yaml_loads_beside_the_shipped_matrix(block: str, tmp_path: Path) -> None:
    written = tmp_path / "written.yaml"
    written.write_text(block, encoding="utf-8")
    loaded = load([folder("matrix"), written])

    assert [problem for problem in loaded.problems if problem.source and problem.source.file == str(written)] == []
    assert loaded.matrix is not None


def test_the_starter_loads() -> None:
    assert load([folder("templates") / "starter.yaml"]).problems == ()
