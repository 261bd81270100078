"""The inputs of a pattern."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from qatrix.declare.inputs import Drawn, InputSpec, Outlier
from qatrix.declare.language.text import listed
from qatrix.declare.load.datafiles import BATCHES, read_file
from qatrix.declare.load.registry import Registry
from qatrix.declare.load.tables import read_size
from qatrix.declare.schema import Cursor, models
from qatrix.expressions import Expression, Literal

_EXPECTED = "{batch, channels, spatial} or {shape: […]}"
_MOST_NESTED: Final = 8
_SIZES: Final = ("batch", "channels", "spatial")
_DISTRIBUTIONS: Final = ("normal", "uniform", "integers", "constant")
# The ranks that a memory format is for.
_RANKS: Final = {"channels_last": 4, "channels_last_3d": 5}
_RANGES: Final = {
    "bool": (0, 1),
    "int8": (-(2**7), 2**7 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint8": (0, 2**8 - 1),
}


def read_inputs(
    registry: Registry, top: Cursor, model: models.Pattern, *, names: Sequence[str]
) -> tuple[InputSpec, ...]:
    """The inputs in order; sizes are expressions over names. Those with a problem are left out."""
    if not model.inputs:
        registry.note(top.problem("the pattern has no inputs", expected=f"inputs: {{x: {_EXPECTED}}}"))
    reader = _Reader(registry, list(names))
    keyword: str | None = None
    for name, item in model.inputs.items():
        if item.by == "keyword":
            keyword = keyword or name
        elif keyword is not None:
            message = f"'{name}' stands behind '{keyword}', which is given by keyword"
            registry.note(top.key(name).problem(message, expected="inputs by position before those by keyword"))
    found = [reader.read(top.down(name), item, name) for name, item in model.inputs.items()]
    return tuple(item for item in found if item is not None)


def read_own_tensors(
    registry: Registry, top: Cursor, tensors: Mapping[str, models.OwnTensor], *, names: Sequence[str]
) -> tuple[InputSpec, ...]:
    """Parameters or buffers of a pattern's own in order; those with a problem are left out."""
    reader = _Reader(registry, list(names))
    found = (
        reader.read(top.down(name), models.Input(shape=item.shape, dtype=item.dtype, values=item.values), name)
        for name, item in tensors.items()
    )
    return tuple(item for item in found if item is not None)


class _Reader:
    """Reads inputs, and those inside of others; sizes are expressions over `names`."""

    def __init__(self, registry: Registry, names: list[str]) -> None:
        self._registry = registry
        self._names = names

    def read(self, at: Cursor, model: models.Input, name: str, *, depth: int = 0) -> InputSpec | None:
        """The input, None where it has no shape."""
        keyword = model.by == "keyword"
        if depth and at.has("by"):
            message = "'by' stands inside of another input"
            self._registry.note(at.key("by").problem(message, expected="by: keyword, at the outermost input"))
        if at.has("tuple") or at.has("dict"):
            made = self._nested(at, model, name, depth)
            return None if made is None else replace(made, keyword=keyword)
        sized = self._sized(at, model, name)
        if sized is None:
            return None
        file = None
        if model.from_ is not None:
            file = read_file(self._registry, at.down("from"), model.from_, kinds=BATCHES, folder=True, key=model.key)
        elif model.key is not None:
            message = "'key' stands without 'from'"
            self._registry.note(at.key("key").problem(message, expected="from: the file that has it"))
        spec = replace(sized, keyword=keyword, memory_format=model.memory_format, file=file)
        if model.values is not None:
            drawn = self._drawn(at, model, spec)
            spec = replace(spec, values=drawn)
        self._check_format(at, spec)
        return spec

    def _nested(self, at: Cursor, model: models.Input, name: str, depth: int) -> InputSpec | None:
        kind = "tuple" if at.has("tuple") else "dict"
        for key, _ in at.members():
            if key not in (kind, "by"):
                message = f"'{key}' stands beside '{kind}'"
                self._registry.note(at.key(key).problem(message, expected=f"it at an input inside of the {kind}"))
        if depth >= _MOST_NESTED:
            message = f"inputs hold inputs more than {_MOST_NESTED} levels deep"
            self._registry.note(at.problem(message, expected="fewer levels"))
            return None
        inside = {str(place): item for place, item in enumerate(model.tuple_)} if kind == "tuple" else model.dict_
        if not inside:
            self._registry.note(at.down(kind).problem(f"the {kind} holds no input", expected="one input or more"))
        places = at.items_of("tuple") if kind == "tuple" else tuple(place for _, place in at.members_of("dict"))
        found = [self.read(place, item, key, depth=depth + 1) for place, (key, item) in zip(places, inside.items())]
        parts = tuple(item for item in found if item is not None)
        return InputSpec(
            name=name,
            shape=(),
            spatial=None,
            dtype="float32",
            source=at.source,
            holds="tuple" if kind == "tuple" else "dict",
            parts=parts,
        )

    def _sized(self, at: Cursor, model: models.Input, name: str) -> InputSpec | None:
        sizes = {"batch": model.batch, "channels": model.channels, "spatial": model.spatial}
        given = [key for key in _SIZES if sizes[key] is not None]
        whole, spatial = True, None
        if model.shape is not None:
            for key in given:
                self._registry.note(at.key(key).problem(f"'{key}' stands beside 'shape'", expected=_EXPECTED))
            shape = [self._size(cursor, size) for cursor, size in zip(at.items_of("shape"), model.shape)]
        elif model.from_ is not None and given in ([], ["batch"]):
            whole = False
            shape = [self._size(at.down(key), sizes[key]) for key in given]
        else:
            missing = [key for key in ("batch", "channels") if key not in given]
            if missing:
                message = f"the key '{missing[0]}' is missing" if given else "the input has no shape"
                self._registry.note(at.problem(message, expected=_EXPECTED))
                return None
            shape = [self._size(at.down(key), sizes[key]) for key in ("batch", "channels")]
            spatial = None if model.spatial is None else self._size(at.down("spatial"), model.spatial)
        read = tuple(size for size in shape if size is not None)
        return InputSpec(name=name, shape=read, spatial=spatial, dtype=model.dtype, source=at.source, whole=whole)

    def _size(self, cursor: Cursor, size: object) -> Expression | None:
        """One length; at least 1 where it is a plain number."""
        expression = read_size(self._registry, cursor, size, names=self._names)
        if isinstance(expression, Literal) and (not isinstance(expression.value, int) or expression.value < 1):
            self._registry.note(cursor.problem(f"the length is {cursor.found()}", expected="1 or more"))
        return expression

    def _drawn(self, at: Cursor, model: models.Input, spec: InputSpec) -> Drawn | None:
        assert model.values is not None
        place = at.down("values")
        if model.from_ is not None:
            message = "'values' stands beside 'from'"
            self._registry.note(at.key("values").problem(message, expected="one of them"))
            return None
        given = {kind: getattr(model.values, kind) for kind in _DISTRIBUTIONS}
        named = [kind for kind in _DISTRIBUTIONS if given[kind] is not None]
        if len(named) > 1:
            message = f"'{named[1]}' stands beside '{named[0]}'"
            self._registry.note(place.key(named[1]).problem(message, expected=f"one of {listed(_DISTRIBUTIONS)}"))
            return None
        if not named and (model.values.outlier is None or spec.dtype in _RANGES):
            message = "the values are drawn from nothing"
            self._registry.note(place.problem(message, expected=f"one of {listed(_DISTRIBUTIONS)}"))
            return None
        # An outlier alone is one among the usual values.
        kind = named[0] if named else "normal"
        numbers = (0, 1) if not named else given[kind] if isinstance(given[kind], tuple) else (given[kind],)
        drawn = Drawn(kind=kind, numbers=numbers, outlier=_outlier(model.values.outlier))  # type: ignore[arg-type]  # one of _DISTRIBUTIONS
        for cursor, message, expected in _faults(drawn, spec, place):
            self._registry.note(cursor.problem(message, expected=expected))
        return drawn

    def _check_format(self, at: Cursor, spec: InputSpec) -> None:
        rank = _RANKS.get(spec.memory_format)
        if rank is None or not spec.whole or spec.spatial is not None or len(spec.shape) == rank:
            return
        message = f"memory_format {spec.memory_format} is for {rank} axes, and the input has {len(spec.shape)}"
        expected = f"an input of {rank} axes, or memory_format: contiguous"
        self._registry.note(at.down("memory_format").problem(message, expected=expected))


def _outlier(model: models.Outlier | None) -> Outlier | None:
    if model is None:
        return None
    return Outlier(channel=model.channel, axis=model.axis, factor=model.factor, offset=model.offset)


def _faults(drawn: Drawn, spec: InputSpec, place: Cursor) -> Iterator[tuple[Cursor, str, str]]:
    """What is wrong with what values are drawn from: the place, what was found, what was expected."""
    at = place.down(drawn.kind)
    limits = _RANGES.get(spec.dtype)
    if limits is not None and drawn.kind in ("normal", "uniform"):
        yield at, f"{drawn.kind} draws numbers with a fraction, and the dtype is {spec.dtype}", "integers or constant"
        return
    if drawn.kind == "normal" and drawn.numbers[1] < 0:
        yield at, f"the standard deviation is {drawn.numbers[1]}", "0 or more"
    if drawn.kind in ("uniform", "integers") and not drawn.numbers[0] < drawn.numbers[1]:
        yield at, f"the values go from {drawn.numbers[0]} to {drawn.numbers[1]}", "[low, high], the lower one first"
    # Of integers the upper bound is not drawn.
    last = drawn.numbers[-1] - 1 if drawn.kind == "integers" else drawn.numbers[-1]
    if limits is not None:
        low, high = limits
        outside = [number for number in (drawn.numbers[0], last) if not low <= number <= high or number != int(number)]
        if outside:
            yield at, f"{outside[0]} is no value of the dtype {spec.dtype}", f"integers from {low} to {high}"
    if drawn.outlier is not None:
        yield from _outlier_faults(drawn.outlier, spec, place.down("outlier"))


def _outlier_faults(outlier: Outlier, spec: InputSpec, place: Cursor) -> Iterator[tuple[Cursor, str, str]]:
    if spec.dtype in _RANGES:
        yield place, f"an outlier is for floating point numbers, and the dtype is {spec.dtype}", "no outlier"
        return
    if spec.spatial is not None:
        return
    rank = len(spec.shape)
    if not -rank <= outlier.axis < rank:
        yield (
            place.down("axis"),
            f"the outlier's axis is {outlier.axis}, and the input has {rank} axes",
            f"-{rank} to {rank - 1}",
        )
        return
    length = spec.shape[outlier.axis]
    if isinstance(length, Literal) and isinstance(length.value, int) and outlier.channel >= length.value:
        message = f"the outlier's channel is {outlier.channel}, and the axis has {length.value}"
        yield place.down("channel"), message, f"0 to {length.value - 1}"
