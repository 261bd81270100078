"""A name for what a matrix declares, by which two machines know that they run the same one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from qatrix.claims import Expectation, GraphCheck, Tolerance
from qatrix.declare.expand import expand
from qatrix.declare.inputs import DataFile
from qatrix.declare.spec import Case, ConvKind, DeviceSpec, Matrix, PatternSpec, QuantizerSpec, RuntimeSpec
from qatrix.errors import Source
from qatrix.files import content_digest

# Fields that describe and change nothing.
_PROSE: Final = frozenset({"about", "cause", "sentence", "impact", "advice", "issue"})
# Fields that older references and results do not know, with the values at which a case is what it was to them.
_LATER: Final[tuple[tuple[str, object], ...]] = (
    ("lifecycle", "none"),
    ("runtime", None),
    ("within_steps", 1.0),
    ("onnxruntime", None),
    ("cpu", {}),
)
# Many cases share one of these, and they are most of the text; each is written once.
_SHARED: Final = (PatternSpec, QuantizerSpec, ConvKind, RuntimeSpec, DeviceSpec, Tolerance)
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
# What a case's check has of its own; all else is that of the declared check, and written once, too.
_OF_A_CASE: Final = "scope"


def matrix_digest(matrix: Matrix) -> str:
    """The SHA-256, in hex, of all cases and expectations in their order, and of the files that they read.

    Places in files and descriptions do not count, so a comment more or another folder is the
    same matrix; one case, one tolerance or one line of a forward pass more is another one.
    """
    digest = hashlib.sha256()
    known: dict[int, tuple[object, str]] = {}
    for item in (*expand(matrix), *matrix.expectations):
        if isinstance(item, (Case, Expectation)):
            digest.update(f"{_text(item, known)}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def case_digests(cases: Iterable[Case]) -> dict[str, str]:
    """By case id the SHA-256, in hex, of all that a case declares; places in files and descriptions do not count."""
    known: dict[int, tuple[object, str]] = {}
    return {
        case.case_id: hashlib.sha256(_text(case, known).encode("utf-8", "surrogatepass")).hexdigest() for case in cases
    }


def _text(value: object, known: dict[int, tuple[object, str]]) -> str:
    """A value as text, equal for equal values; `known` holds, beside its text, what is not to be written again."""
    # Two in three values; asking whether one is a mapping takes longer than all else about it.
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, _SHARED):
        if id(value) not in known:
            known[id(value)] = (value, _fields_text(value, known))
        return known[id(value)][1]
    if isinstance(value, GraphCheck):
        return _fields_text(value, known, own=_OF_A_CASE)
    if isinstance(value, DataFile):
        # What is in it counts, wherever it lies.
        return f"DataFile(key={value.key!r},content={content_digest(Path(value.path))})"
    if dataclasses.is_dataclass(value):
        return _fields_text(value, known)
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key!r}:{_text(item, known)}' for key, item in value.items())}}}"
    if isinstance(value, (tuple, list)):
        return f"({','.join(_text(item, known) for item in value)})"
    return repr(value)


def _fields_text(value: object, known: dict[int, tuple[object, str]], *, own: str | None = None) -> str:
    """A declaration's fields; where one of them is its `own`, it shares the others with declarations like it."""
    fields = (
        (name, item)
        for name, item in vars(value).items()
        if not isinstance(item, Source) and name not in _PROSE and (name, item) not in _LATER
    )
    written = (
        f"{name}={_text(item, known) if own in (None, name) else _written_once(item, known)}" for name, item in fields
    )
    return f"{type(value).__name__}({','.join(written)})"


def _written_once(value: object, known: dict[int, tuple[object, str]]) -> str:
    if not isinstance(value, (tuple, Mapping)):
        return _text(value, known)
    if id(value) not in known:
        known[id(value)] = (value, _text(value, known))
    return known[id(value)][1]
