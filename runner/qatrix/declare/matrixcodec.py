"""A loaded matrix as plain data, and back: numbers, texts and lists of them, and no name but those of a closed list.

Nothing that is read here makes anything but declarations. A matrix that refers to something outside
of its files, such as a file of tensors or what a distribution registers, is not written.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Final

from qatrix import claims, errors, expressions
from qatrix.declare import inputs, spec
from qatrix.declare.inputs import DataFile
from qatrix.declare.loaded import Loaded
from qatrix.declare.spec import Matrix, OwnPipeline, Registration
from qatrix.errors import Problem

_OUTSIDE: Final = (DataFile, OwnPipeline, Registration)
# By name every kind of declaration.
_KINDS: Final[Mapping[str, type]] = {
    name: kind
    for module in (claims, errors, expressions, inputs, spec)
    for name, kind in vars(module).items()
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and kind not in _OUTSIDE
}
# How a list begins that is no plain value.
_TUPLE: Final = 0
_DECLARATION: Final = 1
_MAPPING: Final = 2
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})


class NotKept(Exception):
    """A matrix cannot be written, or what was read is none."""


def dumps(loaded: Loaded) -> str:
    """A matrix and its problems as JSON. Raises NotKept where it refers to something outside of its files."""
    if loaded.matrix is None or _runs_own_code(loaded.matrix):
        msg = "only a matrix without faults that runs no code of the user's own is kept"
        raise NotKept(msg)
    table = _Table()
    return json.dumps(
        {
            "matrix": table.written(loaded.matrix),
            "problems": [table.written(problem) for problem in loaded.problems],
            # Filled by the two above.
            "kinds": table.kinds,
            "rows": table.rows,
        },
        separators=(",", ":"),
    )


def loads(text: str) -> Loaded:
    """What `dumps` wrote. Raises NotKept for anything else."""
    try:
        data = json.loads(text)
        read = _Reader(_known(data["kinds"]), data["rows"]).read
        loaded = Loaded(read(data["matrix"]), tuple(map(read, data["problems"])))
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError) as error:
        msg = f"this is no matrix: {error}"
        raise NotKept(msg) from error
    # Consent was given to nothing that a file says; code of the user's own is asked for when its YAML is read.
    if (
        not isinstance(loaded.matrix, Matrix)
        or not all(isinstance(problem, Problem) for problem in loaded.problems)
        or _runs_own_code(loaded.matrix)
    ):
        msg = "this is no matrix that is kept"
        raise NotKept(msg)
    return loaded


def _runs_own_code(matrix: Matrix) -> bool:
    return (
        any(pattern.runs_own_code for pattern in matrix.patterns.values())
        or any(quantizer.runs_own_code for quantizer in matrix.quantizers.values())
        or any(runtime.runs_own_code for runtime in matrix.runtimes.values())
    )


def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


class _Table:
    """Declarations on their way out: a row for each, those inside of it before it, equal ones once."""

    def __init__(self) -> None:
        # Each kind's name and fields.
        self.kinds: list[list[Any]] = []
        self.rows: list[list[Any]] = []
        self._numbers: dict[type, int] = {}
        self._places: dict[str, int] = {}

    def written(self, value: object) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is tuple:
            return [_TUPLE, *map(self.written, value)]  # type: ignore[call-overload]  # a tuple, as mypy does not see
        if kind is dict:
            items = (part for item in value.items() for part in item)  # type: ignore[attr-defined]  # a dict
            return [_MAPPING, *map(self.written, items)]
        if _KINDS.get(kind.__name__) is not kind:
            msg = f"{kind.__name__} is not kept"
            raise NotKept(msg)
        return [_DECLARATION, self._place(kind, value)]

    def _place(self, kind: type, value: object) -> int:
        if kind not in self._numbers:
            self._numbers[kind] = len(self.kinds)
            self.kinds.append([kind.__name__, *_fields(kind)])
        row = [self._numbers[kind], *(self.written(getattr(value, name)) for name in _fields(kind))]
        # As text 1, 1.0 and true are not equal.
        place = self._places.setdefault(json.dumps(row), len(self.rows))
        if place == len(self.rows):
            self.rows.append(row)
        return place


def _known(kinds: list[list[str]]) -> list[tuple[type, tuple[str, ...]]]:
    """The kinds with their fields, which must be those that they have here."""
    found = [(_KINDS[name], tuple(fields)) for name, *fields in kinds]
    if any(_fields(kind) != fields for kind, fields in found):
        msg = "it has other fields"
        raise ValueError(msg)
    return found


class _Reader:
    """Declarations on their way in; each row refers to those before it."""

    def __init__(self, kinds: list[tuple[type, tuple[str, ...]]], rows: list[list[Any]]) -> None:
        self._made: list[object] = []
        for number, *values in rows:
            kind, fields = kinds[number]
            if len(values) != len(fields):
                msg = "a row has another length than its kind"
                raise ValueError(msg)
            # A frozen declaration's own __init__ sets field by field, which takes five times as long.
            made = object.__new__(kind)
            vars(made).update(zip(fields, map(self.read, values)))
            self._made.append(made)

    def read(self, value: Any) -> Any:
        if type(value) is not list:
            return value
        tag = value[0]
        if tag == _DECLARATION:
            return self._made[value[1]]
        if tag == _TUPLE:
            return tuple(map(self.read, value[1:]))
        if tag == _MAPPING:
            return dict(zip(map(self.read, value[1::2]), map(self.read, value[2::2])))
        msg = f"{tag!r} begins no list"
        raise ValueError(msg)
