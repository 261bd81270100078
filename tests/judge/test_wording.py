"""The sentences of verdicts and causes: each is whole, short and used, and whoever uses it fills all of its fields."""

from __future__ import annotations

import ast
import functools
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from qatrix.judge.wording import Template, causes, differences, runtimes, specifications, verdicts

MODULES = {
    module.__name__.rpartition(".")[2]: module for module in (causes, differences, runtimes, specifications, verdicts)
}
TEMPLATES = {
    f"{module}.{name}": template
    for module, found in MODULES.items()
    for name, template in vars(found).items()
    if isinstance(template, Template)
}
SOURCES = Path(causes.__file__).parents[2]
# How long a sentence may be, with names and numbers of ordinary length.
LONGEST = 200
# Nouns that are written as plurals behind a number, which is never one there.
ALWAYS_SEVERAL = ("{count} times", "{times} times", "{terms} terms", "{distance:.2g} steps")
# Sentences of their own, with a period; all others are joined with what stands around them.
WHOLE = re.compile(r"First difference after ")


def sample(template: Template) -> str:
    """The sentence with a number in each field that formats one, and a word in all others."""
    parsed = list(string.Formatter().parse(template.text))
    numbers = {name: 1 for _, name, how, _ in parsed if name and how}
    return template(**{name: name for name in template.fields} | numbers)


@functools.cache
def uses() -> tuple[tuple[str, str, frozenset[str] | None], ...]:
    """Each use of a template: the file and line, its name, and the fields that are given where it is called by name."""
    return tuple(found for path in sorted(SOURCES.rglob("*.py")) for found in uses_in(path))


def uses_in(path: Path) -> Iterator[tuple[str, str, frozenset[str] | None]]:
    text = path.read_text(encoding="utf-8")
    imported = re.search(r"from qatrix\.judge\.wording import (\w+) as words", text)
    if imported is None:
        return
    tree = ast.parse(text)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id != "words":
            continue
        call = calls.get(id(node))
        given = None if call is None else [keyword.arg for keyword in call.keywords]
        named = None if given is None or None in given else frozenset(map(str, given))
        yield f"{path.name}:{node.lineno}", f"{imported[1]}.{node.attr}", named


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_sentence_is_whole_and_short(name: str) -> None:
    said = sample(TEMPLATES[name])

    assert not re.search(r"[{}]|\.\.|  |,,|^\s|\s$", said.removeprefix(" (").removeprefix(", "))
    assert len(said) <= LONGEST
    assert said.endswith(".") == bool(WHOLE.match(said))


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_number_stands_before_a_plural_that_may_be_one(name: str) -> None:
    text = TEMPLATES[name].text
    for known in ALWAYS_SEVERAL:
        text = text.replace(known, "")

    assert not re.search(r"\{(count|total|number|times|steps|pairs|terms|codes|more)(:[^}]*)?\} \w+s\b", text)
    assert not re.search(r"\{\w+:[^}]*\} \w+s\b", text)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_sentence_is_used(name: str) -> None:
    assert any(used == name for _, used, _ in uses())


def test_whoever_uses_a_sentence_gives_its_fields() -> None:
    wrong = [
        (where, name, sorted(given ^ TEMPLATES[name].fields))
        for where, name, given in uses()
        if given is not None and given != TEMPLATES[name].fields
    ]

    assert wrong == []


def test_what_fills_a_field_is_not_looked_into() -> None:
    assert causes.READERS(readers="{before.__class__}", before="{0}") == "the float model: {before.__class__} read {0}"
