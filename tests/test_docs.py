"""The documentation is complete, its links lead somewhere, and its YAML works; tests/test_docs_commands.py has its commands."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from safetensors.numpy import save_file

from qatrix import lowerings, outcomes, runtimes
from qatrix.claims import BUILT_IN_CHECKS, Expectation, Issue
from qatrix.cli import (
    against,
    app,
    comparing,
    documents,
    environments,
    finding,
    freezing,
    histories,
    matrices,
    merging,
    repros,
    runs,
    supporting,
    transcripts,
    trying,
    watching,
)
from qatrix.cli.newest import STORE
from qatrix.declare.load import load
from qatrix.declare.schema import models
from qatrix.declare.selection import Selection, select
from qatrix.declare.yamltext import of_bytes
from qatrix.report.frames.flat import flat_frame
from qatrix.report.storeschema import SCHEMA_VERSION
from qatrix.report.writing import RENDERERS
from qatrix.resources import folder
from support.lowerings import make_deployed
from support.records import make_comparison, make_record

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
# Importing them registers their verbs.
VERB_MODULES = (
    against,
    comparing,
    documents,
    environments,
    finding,
    freezing,
    histories,
    matrices,
    merging,
    repros,
    runs,
    supporting,
    transcripts,
    trying,
    watching,
)

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group of commands
# The sections of docs/yaml.md that have the keys of each model.
SECTIONS: dict[type[BaseModel], str] = {
    models.File: "The YAML",
    models.Pattern: "patterns",
    models.Input: "patterns",
    models.OwnTensor: "Parameters and buffers",
    models.InputValues: "Values",
    models.Outlier: "Values",
    models.ConvKind: "conv_kinds",
    models.Device: "devices and tolerances",
    models.Tolerance: "devices and tolerances",
    models.Quantizer: "quantizers",
    models.Pt2ePreset: "Presets",
    models.FxPreset: "Presets",
    models.TensorSpec: "Declared specs",
    models.DerivedSpec: "Declared specs",
    models.QConfigSpecs: "QConfigs that are spelled out",
    models.OpAnnotation: "Single ops",
    models.SharedSpec: "Single ops",
    models.ConvertOptions: "What convert is told",
    models.Phase: "Phases",
    models.Runtime: "runtimes",
    models.RuntimeUse: "runtimes",
    models.Check: "checks",
    models.CheckUse: "suites",
    models.Pipelines: "suites",
    models.Suite: "suites",
    models.QuantizesNothing: "suites",
    models.Cause: "causes",
    models.Issue: "causes",
    models.Expectation: "expected",
    models.CpuFeatures: "expected",
}
RECORDS = [
    outcomes.Record, outcomes.Comparison, outcomes.CheckOutcome, outcomes.PipelineOutcome, outcomes.StageTime,
    outcomes.ErrorReport, outcomes.Run, outcomes.Environment, outcomes.Dropped, Expectation, Issue,
    lowerings.Lowering, lowerings.Ran, lowerings.Kernel, lowerings.FloatOp, lowerings.Departure,
]  # fmt: skip


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page(name: str) -> str:
    return text_of(DOCS / name)


def section(text: str, heading: str) -> str:
    """What stands below a heading, as far as the next one of its level or above; of a page's title its beginning."""
    mark = re.search(rf"^(#+) {re.escape(heading)}$", text, flags=re.MULTILINE)
    assert mark, f"no heading '{heading}'"
    rest = text[mark.end() :]
    following = re.search(rf"^#{{1,{max(2, len(mark[1]))}}} ", rest, flags=re.MULTILINE)
    return rest[: following.start()] if following else rest


def unnamed(names: list[str], text: str) -> list[str]:
    """The names that stand nowhere in the text as code, alone or in a longer piece."""
    words = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"`([^`\n]+)`", text))))
    return [name for name in names if name not in words]


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_and_option_is_documented(verb: str) -> None:
    options = [name for item in COMMANDS[verb].params for name in (*item.opts, *item.secondary_opts) if name[0] == "-"]

    assert unnamed(options, section(page("commands.md"), f"qatrix {verb}")) == []


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_is_in_the_table(verb: str) -> None:
    assert f"\n| [`{verb}`](#qatrix-{verb}) | " in page("commands.md")


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_has_an_example(verb: str) -> None:
    assert f"$ qatrix {verb}" in section(page("commands.md"), f"qatrix {verb}")


@pytest.mark.parametrize("option", ["--version", "--help", "-h"])
def test_the_options_before_a_verb_are_documented(option: str) -> None:
    assert unnamed([option], page("commands.md")) == []


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_every_exit_code_is_documented(code: int) -> None:
    assert f"\n| {code} | " in page("commands.md")


@pytest.mark.parametrize("name", [STORE, *RENDERERS])
def test_every_file_of_a_run_is_documented(name: str) -> None:
    assert f"\n| `{name}` | " in section(page("commands.md"), "qatrix run")
    assert name in page("record.md")


def test_every_model_has_its_section() -> None:
    # Of the package alone: another test may declare a kind of its own.
    kinds = {kind for kind in models.Declaration.__subclasses__() if kind.__module__.startswith(models.__name__)}

    assert kinds == set(SECTIONS)
    assert {kind.__name__ for kind in kinds} <= set(models.__all__)


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_every_key_of_the_yaml_is_documented(model: type[BaseModel]) -> None:
    keys = [field.alias or name for name, field in model.model_fields.items()]

    assert unnamed(keys, section(page("yaml.md"), SECTIONS[model])) == []


def words_of(annotation: object) -> Iterator[str]:
    """The words that a key takes."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from typing.get_args(annotation)
        return
    for part in typing.get_args(annotation):
        yield from words_of(part)


@pytest.mark.parametrize("model", SECTIONS, ids=lambda model: model.__name__)
def test_every_word_that_a_key_takes_is_documented(model: type[BaseModel]) -> None:
    keys = {name: field.annotation for name, field in model.model_fields.items() if name != "verdict"}
    text = section(page("yaml.md"), SECTIONS[model])

    assert {name: missing for name, kind in keys.items() if (missing := unnamed(list(words_of(kind)), text))} == {}


@pytest.mark.parametrize("function", ["isclose", "source_fn", "distinct", "is_constant"])
def test_every_function_of_an_assertion_is_documented(function: str) -> None:
    assert f"\n| `{function}(" in page("yaml.md")


@pytest.mark.parametrize("check", sorted(BUILT_IN_CHECKS))
def test_every_check_of_every_case_is_documented(check: str) -> None:
    assert f"\n| `{check}` | " in section(page("yaml.md"), "Checks of every case")


@pytest.mark.parametrize("runtime", runtimes.BUILT_IN)
def test_every_runtime_has_its_section(runtime: str) -> None:
    options = list(runtimes.BUILT_IN[runtime].options)
    values = [str(value) for known in runtimes.BUILT_IN[runtime].options.values() for value in known]
    # YAML spells what is true in small letters.
    names = [*options, *(value.lower() if value in {"True", "False"} else value for value in values)]

    assert unnamed(names, section(page("runtimes.md"), runtime)) == []


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_every_field_of_the_record_is_documented(kind: type) -> None:
    assert unnamed([field.name for field in dataclasses.fields(kind)], page("record.md")) == []


def test_every_column_of_the_csv_is_documented() -> None:
    trained = make_record(comparisons=tuple(map(make_comparison, outcomes.TRAINING_POINTS)))
    records = [make_record(), trained, make_deployed()]
    columns = [name for name in flat_frame(records).columns if not name.startswith("axis_")]
    points = "|".join(outcomes.COMPARED)
    facts = [re.sub(rf"^(pt2e|fx|{points})_", "", name) for name in columns]

    named = [name for name in facts if name == "seconds" or not name.endswith("_seconds")]
    text = section(page("record.md"), "results.csv")
    assert all(f"`{point}_…`" in text for point in outcomes.COMPARED)

    assert unnamed(named, section(page("record.md"), "results.csv")) == []


def test_the_schema_version_of_the_store_is_documented() -> None:
    assert f"schema version {SCHEMA_VERSION} " in page("record.md")


@pytest.mark.parametrize("verdict", outcomes.PRECEDENCE)
def test_every_verdict_is_documented(verdict: str) -> None:
    assert f"`{verdict}`" in section(page("design.md"), "Verdicts")


def test_the_order_of_verdicts_is_documented() -> None:
    assert f": {', '.join(outcomes.PRECEDENCE)}." in page("design.md")


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text_of(path)) if "://" not in link]
    parted = [link.partition("#") for link in links]
    targets = [(path.parent / file if file else path, anchor) for file, _, anchor in parted]

    assert [str(file) for file, _ in targets if not file.exists()] == []
    assert [anchor for file, anchor in targets if anchor and anchor not in anchors(file)] == []


BLOCKS = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in PAGES
    for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", text_of(path), flags=re.DOTALL))
    # tests/test_tutorials.py runs the files that a tutorial names.
    if not block.startswith(("# fragment\n", "# mine.yaml\n"))
]


@pytest.fixture(scope="module")
def parsed_once() -> Iterator[None]:
    """The files of the shipped matrix are parsed once: their trees are read-only, and take a third of loading them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qatrix.declare.load.files.of_bytes", functools.cache(of_bytes))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("parsed_once")
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_of_yaml_loads_beside_the_shipped_matrix(block: str, tmp_path: Path) -> None:
    written = tmp_path / "written.yaml"
    written.write_text(block, encoding="utf-8")
    # A file of tensors that a runtime names has to be there.
    for name in re.findall(r"\boutputs: (\S+\.safetensors)", block):
        save_file({}, tmp_path / name)
    loaded = load([folder("matrix"), written])

    assert loaded.problems == ()
    assert loaded.matrix is not None
    assert select(loaded.matrix, Selection()).problems == ()


def test_the_starter_loads() -> None:
    assert load([folder("templates") / "starter.yaml"]).problems == ()
