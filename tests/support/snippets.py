"""The snippets that tests/documented runs by itself."""

from __future__ import annotations

from typing import Final

from support.pages import SNIPPETS

FRAGMENT: Final = "# fragment\n"
# YAML that loads beside the shipped matrix without anything else; tests/test_docs.py loads each of them.
WHOLE: Final = {
    snippet.name: snippet.text
    for snippet in SNIPPETS
    if snippet.language == "yaml" and not snippet.text.startswith((FRAGMENT, "# mine.yaml\n"))
}
# YAML that needs a module, a file or a suite besides.
FRAGMENTS: Final = {
    snippet.name: snippet.text
    for snippet in SNIPPETS
    if snippet.text.startswith(FRAGMENT) or snippet.name == "docs/yaml.md: yml 1"
}
CASE_ID: Final = "docs/yaml.md: plain 1"
CHECK: Final = "docs/security.md: yml 1"
DIFF: Final = "docs/torchao.md: diff 1"
SNIPPETS_HERE: Final = frozenset({*WHOLE, *FRAGMENTS, CASE_ID, CHECK, DIFF})
