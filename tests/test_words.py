"""Texts for readers are plain American English: no phrase that readers stumbled over comes back."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each with what to write instead. Identifiers, and texts of others that are quoted, are not meant.
BANNED = {
    r"\b(made|written|drawn|run|runs|exported|compiled|compiles) anew\b": "again",
    r"\bonce more\b": "again",
    r"\bwithout a word\b|\bno word is said\b": "silently",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bis the truth\b|\bone truth\b": "the source of truth",
    r"\bresults? of then\b": "an earlier result",
    r"\bfloat cannot decide\b": "equally close to the float model",
    r"\bdB (nearer|from the float model)\b": "SQNR 42.2 dB: more is closer, and a distance reads the other way around",
    r"\bwho is so\b": "say what counts as closer",
    r"\b(first|pipelines|they) part\b(?! of)": "first difference, differ",
    r"\bto the bit\b": "bit-identical, bit for bit",
    r"\bno expectation covers\b": "no entry under `expected` covers",
    r"\boff its reference\b": "differs from its reference by",
    r"\bin the place of\b": "instead of",
    r"\bnot run any more\b": "no longer run",
    r"(?<![\d.,])1 (steps|cases|layers|values|nodes|times|quantization steps)\b": "one has no plural",
    r"\b(behaviours?|colours?|neighbours?|favours?|labelled|modelling|centre|whilst|artefacts?)\b": "American spelling",
    r"\b(recognis|summaris|normalis|initialis|optimis|serialis|organis|minimis)(e|ed|es|er|ing|ation)\b": "-ize",
}
PHRASES = re.compile("|".join(f"(?:{phrase})" for phrase in BANNED), re.IGNORECASE)
# Generated from the matrix, whose causes are quoted there.
GENERATED = {ROOT / "docs/findings.md"}


def texts() -> Iterator[tuple[Path, int, str]]:
    """What people read, with file and line: pages, templates without the vendored ones, and strings of the package."""
    for path in [*sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]:
        if path not in GENERATED:
            yield from ((path, line, text) for line, text in enumerate(path.read_text("utf-8").splitlines(), 1))
    for path in sorted((ROOT / "templates").rglob("*.j2")):
        yield from ((path, line, text) for line, text in enumerate(path.read_text("utf-8").splitlines(), 1))
    for path in sorted((ROOT / "runner").rglob("*.py")):
        yield from ((path, line, text) for line, text in strings(path))


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """The string literals of a module that hold several words; docstrings are for developers, but those of verbs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    is_verb = path.parent.name == "cli"
    statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or " " not in node.value.strip():
            continue
        if is_verb or id(node) not in statements:
            yield node.lineno, node.value


@pytest.mark.slow
def test_no_text_has_a_phrase_that_readers_stumbled_over() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path, line, text in texts()
        if (match := PHRASES.search(text)) is not None
    ]

    assert found == []


@pytest.mark.parametrize(
    "text", ["no case was mended", "the report is written anew", "pt2e is 42.2 dB from the float model", "1 steps"]
)
def test_a_banned_phrase_is_found(text: str) -> None:
    assert PHRASES.search(text)


@pytest.mark.parametrize("text", ["1 step", "they are part of it", "SQNR 42.2 dB", "recommended"])
def test_plain_words_are_not(text: str) -> None:
    assert not PHRASES.search(text)
