"""The lines of YAML that declare what cases are made of, as they stand in their files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Final

from qatrix.declare.spec import ConvKind, Matrix, PatternSpec, QuantizerSpec, RuntimeSpec, SuiteSpec
from qatrix.errors import Source
from qatrix.outcomes import Excerpt

# Longer ones are cut: what a report shows of a declaration is a reminder.
_MOST_LINES: Final = 60


def excerpts(matrix: Matrix) -> Iterator[Excerpt]:
    """The declarations of all that a case is made of; one whose file has gone is left out."""
    read = cache(_lines)
    sections: Mapping[str, Mapping[str, SuiteSpec | PatternSpec | ConvKind | QuantizerSpec | RuntimeSpec]] = {
        "suite": matrix.suites,
        "pattern": matrix.patterns,
        "conv": matrix.conv_kinds,
        "quantizer": matrix.quantizers,
        "runtime": matrix.runtimes,
    }
    for axis, declared in sections.items():
        for name, spec in declared.items():
            found = _block(read(spec.source.file), spec.source)
            if found is not None:
                line, text = found
                about = None if isinstance(spec, ConvKind) else spec.about or None
                yield Excerpt(axis=axis, name=name, file=spec.source.file, line=line, text=text, about=about)


def _lines(file: str) -> tuple[str, ...]:
    try:
        return tuple(Path(file).read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return ()


def _block(lines: Sequence[str], source: Source) -> tuple[int, str] | None:
    """The line of the key, from 1, and the text of key and value: all that is indented further than the key."""
    place = source.line - 1
    if not 0 <= place < len(lines):
        return None
    # The source is where the value begins, in a block below its key.
    if not lines[place][: source.column - 1].strip():
        place = next((above for above in range(place - 1, -1, -1) if _indent(lines[above]) < source.column - 1), place)
    key = _indent(lines[place])
    rest = itertools.takewhile(lambda line: not line.strip() or _indent(line) > key, lines[place + 1 :])
    block = [lines[place], *rest]
    cut = [*block[:_MOST_LINES], *(["…"] if len(block) > _MOST_LINES else [])]
    return place + 1, "\n".join(line[key:] if line.strip() else "" for line in cut).rstrip()


def _indent(line: str) -> int:
    """How far a line is indented; blank lines and comments belong to what surrounds them."""
    text = line.lstrip(" ")
    return len(line) - len(text) if text and not text.startswith("#") else 10_000
