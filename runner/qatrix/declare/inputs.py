"""The inputs of a pattern: their shapes, and what their values are drawn from or which file has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from qatrix.errors import Source
from qatrix.expressions import Expression

Distribution = Literal["normal", "uniform", "integers", "constant"]


@dataclass(frozen=True, kw_only=True)
class Outlier:
    """A channel whose values are multiplied by `factor`, and moved by `offset` then."""

    channel: int
    axis: int = 1
    factor: float = 1
    offset: float = 0


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What values are drawn from: a mean and a standard deviation, two bounds, or the one value that there is."""

    kind: Distribution
    numbers: tuple[float, ...]
    outlier: Outlier | None = None


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of tensors, or a folder of such files, by its absolute path; what is in it counts, not where it lies.

    `key` is the name of the tensor in it, None where there is but one or all are taken. `kinds` are the endings of a
    folder's files, in which case they are read in the order of their names.
    """

    path: str
    source: Source
    key: str | None = None
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """One input of a pattern: a shape as expressions over the pattern's parameters and `dim`.

    Parameters and buffers of a pattern's own are declared alike, with a shape and what their values are drawn from.

    `spatial` shapes are written (batch, channels, *[spatial] * dim): `shape` then holds batch
    and channels, and `spatial` the length of each of the `dim` trailing axes. Where the values
    are in a `file`, they may say their lengths themselves: then `whole` is false, and `shape`
    has at most the first. An input that `holds` others, in the order of a tuple or by the keys
    of a dict, has `parts` and no shape. `free` has the axes that PT2E captures without a length, each
    with the name of its size.
    """

    name: str
    shape: tuple[Expression, ...]
    spatial: Expression | None
    dtype: str
    source: Source
    values: Drawn | None = None
    memory_format: str = "contiguous"
    keyword: bool = False
    file: DataFile | None = None
    whole: bool = True
    holds: Literal["tensor", "tuple", "dict"] = "tensor"
    parts: tuple[InputSpec, ...] = ()
    free: tuple[tuple[int, str], ...] = ()


def tensors_of(inputs: Iterable[InputSpec]) -> Iterator[InputSpec]:
    """The inputs that are tensors, those inside of others included, in their order."""
    for item in inputs:
        if item.holds == "tensor":
            yield item
        else:
            yield from tensors_of(item.parts)
