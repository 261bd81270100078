"""Links of pages that lie at another place on the site than in the repository."""

from __future__ import annotations

import re
from typing import Final

_BESIDE: Final = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
_NAMES: Final = "|".join(map(re.escape, _BESIDE))
_INTO_DOCS: Final = re.compile(r"(\]\()docs/")
_BESIDE_THIS: Final = re.compile(rf"(\]\()({_NAMES})(?=[#)])")
_OUT_OF_DOCS: Final = re.compile(rf"(\]\()\.\./({_NAMES})(?=[#)])")


def moved(markdown: str) -> str:
    """A page beside docs/ as one inside of it."""
    return _BESIDE_THIS.sub(_renamed, _INTO_DOCS.sub(r"\1", markdown))


def inside(markdown: str) -> str:
    """A page of docs/ whose links to those beside it lead to where the site has them."""
    return _OUT_OF_DOCS.sub(_renamed, markdown)


def _renamed(match: re.Match[str]) -> str:
    return match[1] + _BESIDE[match[2]]
