"""A model that somebody tries, as the declaration of one suite."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from qatrix.declare.excerpts import excerpts
from qatrix.declare.registrations import MODELS, named
from qatrix.declare.spec import Matrix
from qatrix.declare.trust import is_path
from qatrix.declare.yamltext import written
from qatrix.errors import UsageError
from qatrix.expressions import Value
from qatrix.text import one_line

# Where nothing else is said; a name of the suite, and of the file.
TRY: Final = "try"
# No length has more digits than 64 bits hold.
_SHAPE: Final = re.compile(
    r"(?:(?P<name>[^=:]+)=)?(?P<sizes>\d{1,18}(?:x\d{1,18})*|scalar)(?::(?P<dtype>\w+))?", re.ASCII
)
_SHAPES: Final = "1x3x224x224, ids=2x16:int64 for a keyword argument of integers, or scalar"


class TriedInput(NamedTuple):
    """One input: by keyword if it has a name; without `sizes`, the calibration data say them."""

    sizes: tuple[int, ...] | None
    name: str | None = None
    dtype: str = "float32"

    @classmethod
    def of(cls, text: str) -> TriedInput:
        """Read "1x3x224x224" or "ids=2x16:int64"; raises UsageError."""
        found = _SHAPE.fullmatch(text)
        if found is None:
            msg = f"--input: '{text}' is no shape; expected {_SHAPES}"
            raise UsageError(msg)
        sizes = () if found["sizes"] == "scalar" else tuple(map(int, found["sizes"].split("x")))
        return cls(sizes, found["name"], found["dtype"] or "float32")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is tried: a class or function that makes the model, its arguments, weights, inputs and quantizers.

    `calibration` is a file of batches, or a folder of them; `key` names the tensor in it.
    """

    model: str
    arguments: Mapping[str, Value]
    inputs: tuple[TriedInput, ...]
    quantizers: tuple[str, ...]
    weights: Path | None = None
    calibration: Path | None = None
    key: str | None = None
    device: str | None = None

    @property
    def consents(self) -> tuple[str, ...]:
        """The module that naming the model is consent to run; none for what a distribution registers."""
        return () if named(self.model, MODELS) else (self.model,)

    def __post_init__(self) -> None:
        if self.key is not None and self.calibration is None:
            msg = f"--key: '{one_line(self.key)}' names a tensor in no file; give --calibrate, too"
            raise UsageError(msg)
        names = [item.name for item in self.inputs if item.name is not None]
        if len(names) > len(set(names)):
            msg = f"--input: '{max(names, key=names.count)}' is given twice; give each keyword argument once"
            raise UsageError(msg)
        if self.inputs or self.calibration is not None:
            return
        msg = f"nothing says what the model is called with; give --input, such as {_SHAPES}, or --calibrate"
        raise UsageError(msg)


def model_path(text: str) -> str:
    """The dotted path of "my_package.models:build", or a name that a distribution registers; raises UsageError."""
    path = text.replace(":", ".", 1)
    if named(path, MODELS):
        return path
    if "." not in path or not is_path(path):
        expected = (
            "expected MODULE:NAME of a class or function that makes it, such as my_package.models:build, "
            "or a name that an installed distribution registers"
        )
        msg = f"'{text}' names no model; {expected}"
        raise UsageError(msg)
    return path


def arguments(texts: Iterable[str]) -> Mapping[str, Value]:
    """The values by name of "width=0.5" and the like: JSON values, or texts; raises UsageError."""
    found: dict[str, Value] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            msg = f"--arg: '{text}' is no argument; expected NAME=VALUE, such as width=0.5"
            raise UsageError(msg)
        if name in found:
            msg = f"--arg: '{name}' is given twice; give each argument once"
            raise UsageError(msg)
        found[name] = _value(name, value)
    return found


def _value(name: str, text: str) -> Value:
    try:
        read: Value = json.loads(text)
        written(read)
    except ValueError:
        return text
    except RecursionError:
        msg = f"--arg: the value of '{name}' is nested too deeply; give less, or make it in a function of your own"
        raise UsageError(msg) from None
    return read


def declaration(trial: Trial, path: Path, command: str) -> str:
    """The trial as the text of a YAML file at `path`; a suite and a pattern have that file's name."""
    return "\n".join([*_lines(trial, path, command), ""])


def what_it_names(trial: Trial, matrix: Matrix) -> str:
    """The quantizers and the device that the trial names, as YAML: with them its file can stand alone."""
    blocks = {item.name: item.text for item in excerpts(matrix) if item.axis == "quantizer"}
    lines = ["quantizers:"]
    for name in _quantizers(trial, matrix):
        lines += [f"  {line}" if line else "" for line in blocks[name].splitlines()]
    if trial.device is not None:
        device = {trial.device: {"torch": matrix.devices[trial.device].torch}}
        lines.append(f"devices: {written(device)}")
    return "\n".join([*lines, ""])


def _quantizers(trial: Trial, matrix: Matrix) -> dict[str, None]:
    """The names of the trial's quantizers, and before them of those that work in their phases or that they compose."""
    found: dict[str, None] = {}
    for name in trial.quantizers:
        quantizer = matrix.quantizers[name]
        within = (*quantizer.members, *quantizer.rounds)
        found |= dict.fromkeys((*(item.name for item in within), name))
    return found


def suite_of(path: Path) -> str:
    """The name of the suite that a file of this path declares."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII)
    return name if name[:1].isalpha() else f"{TRY}_{name}"


def _lines(trial: Trial, path: Path, command: str) -> Iterator[str]:
    suite = suite_of(path)
    last = re.sub(r"\W", "_", trial.model.rpartition(".")[2], flags=re.ASCII)
    pattern = f"{suite}_{last}"
    yield f"# Declared by: {one_line(command)}"
    yield "patterns:"
    yield f"  {written(pattern)}:"
    yield f"    model: {written(trial.model)}"
    if trial.arguments:
        yield f"    args: {written(trial.arguments)}"
    if trial.weights is not None:
        yield f"    weights: {written(_place(trial.weights, path))}"
    yield "    inputs:"
    for name, keys in _inputs(trial, path):
        yield f"      {written(name)}: {written(keys)}"
    yield "suites:"
    yield f"  {written(suite)}:"
    yield f"    about: {written(f'do both pipelines agree on {trial.model}?')}"
    yield "    axes:"
    yield f"      pattern: {written([pattern])}"
    yield f"      quantizer: {written(trial.quantizers)}"
    if trial.device is not None:
        yield f"      device: {written([trial.device])}"


def _inputs(trial: Trial, path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The inputs' names and keys, those by position first: their order on the command line says nothing else."""
    inputs = sorted(trial.inputs or (TriedInput(None),), key=lambda item: item.name is not None)
    given = {item.name for item in inputs}
    free = (name for name in map("x{}".format, itertools.count(1)) if name not in given)
    for item in inputs:
        keys: dict[str, object] = {} if item.sizes is None else {"shape": list(item.sizes)}
        if item.dtype != "float32":
            keys["dtype"] = item.dtype
        if item.name is not None:
            keys["by"] = "keyword"
        if trial.calibration is not None:
            keys["from"] = _place(trial.calibration, path)
            key = trial.key or (item.name if len(inputs) > 1 else None)
            keys |= {} if key is None else {"key": key}
        yield item.name or (next(free) if len(inputs) > 1 else "x"), keys


def _place(data: Path, path: Path) -> str:
    """A file as seen from the folder of the declaration."""
    return os.path.relpath(data, path.parent)
