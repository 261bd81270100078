"""A sentence with named fields."""

from __future__ import annotations

import string
from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """A sentence in the notation of `str.format`; what fills a field is text and is not looked into."""

    text: str

    def __call__(self, **fields: object) -> str:
        """The sentence with its fields filled."""
        return self.text.format_map(fields)

    @property
    def fields(self) -> frozenset[str]:
        """The names of the fields, all of which a caller gives."""
        return frozenset(name for _, name, _, _ in string.Formatter().parse(self.text) if name is not None)
