"""The generated pages of the reference: nothing that exists is missing, and what is said of it is right."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from typing import Any

import pytest
import typer

import qatrix.cli
from qatrix import outcomes
from qatrix.declare.schema import json_schema
from website import commands, schemas
from website.generated import Generated, code, inert

YAML, RECORD = schemas.pages()
COMMANDS = commands.page()


def plain(page: Generated) -> str:
    return html.unescape(page.text)


@pytest.mark.parametrize("name", sorted(json_schema()["$defs"]))
def test_every_key_of_the_yaml_has_a_row(name: str) -> None:
    _, _, section = plain(YAML).partition(f"\n## {name}\n")
    section, _, _ = section.partition("\n## ")
    keys = json_schema()["$defs"][name].get("properties", {})

    assert [key for key in keys if f"\n| <code>{key}</code> | " not in section] == []


@pytest.mark.parametrize("kind", [outcomes.Record, outcomes.Comparison, outcomes.PipelineOutcome, outcomes.Run])
def test_every_field_of_the_record_has_a_row(kind: type) -> None:
    _, _, section = plain(RECORD).partition(f"\n## {kind.__name__}\n")
    section, _, _ = section.partition("\n## ")

    assert [field.name for field in dataclasses.fields(kind) if f"| <code>{field.name}</code> |" not in section] == []


def test_every_option_of_every_command_has_a_row() -> None:
    group: Any = typer.main.get_command(qatrix.cli.app)
    for name, command in group.commands.items():
        _, _, section = plain(COMMANDS).partition(f"\n## qatrix {name}\n")
        section, _, _ = section.partition("\n## ")
        options = [option for item in command.params for option in item.opts if option.startswith("-")]

        assert [option for option in options if not re.search(rf"{option}[ ,<]", section)] == []


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param({"type": "string"}, "text", id="text"),
        pytest.param({"type": ["integer", "null"]}, "whole number or null", id="several kinds"),
        pytest.param({"enum": ["a", 1]}, '"a" or 1', id="words"),
        pytest.param({"$ref": "#/$defs/Check"}, "Check", id="another object"),
        pytest.param({"type": "array", "items": {"$ref": "#/$defs/Check"}}, "list of Check", id="a list"),
        pytest.param({"type": "array"}, "list", id="a list of anything"),
        pytest.param({"type": "object"}, "mapping", id="a mapping of anything"),
        pytest.param(
            {"type": "object", "additionalProperties": {"type": "number"}}, "mapping to number", id="a mapping"
        ),
        pytest.param({"anyOf": [{"type": "string"}, {"type": "string"}]}, "text", id="the same twice"),
        pytest.param({}, "anything", id="no schema"),
    ],
)
def test_a_schema_is_put_into_words(schema: dict[str, Any], words: str) -> None:
    assert schemas.taken(schema) == words


@pytest.mark.parametrize("text", ["a|b", "<b>", "# x", "[x](y)", "a_b*c*", "`x`", "&amp;", "{{ x }}", "1. x"])
def test_markup_is_inert_and_reads_as_it_was(text: str) -> None:
    assert html.unescape(inert(text)) == text
    assert set(inert(text)) <= set("&#;0123456789 abcdefghijklmnopqrstuvwxyz")
    assert html.unescape(code(text)) == f"<code>{text}</code>"


def test_what_hides_is_spelled_out() -> None:
    assert html.unescape(inert("a\x1b[31m\nb")) == r"a\x1b[31m\nb"


def test_a_default_is_shown_as_json() -> None:
    assert json.dumps(["pt2e"]) in plain(YAML)
