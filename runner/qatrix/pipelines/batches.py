"""The inputs of a case: drawn from its seed, or out of files; one batch, and more of them to calibrate with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from qatrix.declare.inputs import DataFile, InputSpec, tensors_of
from qatrix.declare.spec import Case
from qatrix.declare.vocabulary import DTYPES
from qatrix.files import LARGEST
from qatrix.pipelines.datafiles import DataFault, paths_of, read_tensors
from qatrix.pipelines.drawing import draw, shape_of
from qatrix.pipelines.inputs import Batches, Inputs


def build_inputs(case: Case) -> Inputs:
    """The case's inputs that outputs are compared for: those of its first batch."""
    return build_batches(case).first


def build_batches(case: Case) -> Batches:
    """All batches of a case's inputs, on its device. Raises DataFault where a file does not have what is declared.

    Unless told otherwise, floating point inputs are drawn from the standard normal distribution,
    integers from 0 to 7, booleans from both values. Inputs of float32 get the case's dtype. Batches
    are drawn one after the other, so that the first does not depend on how many there are.
    """
    source = _Source(case)
    wanted = case.calibration_batches
    count = source.available if wanted is None else max(wanted, 1)
    first, *more = [source.batch(number) for number in range(count)]
    made = Batches(first=first, more=tuple(more), calibrates=wanted != 0)
    return made.map(lambda tensor: tensor.to(case.device.torch))


@dataclass
class _Source:
    """Where a case's inputs come from; batches are to be taken in their order."""

    case: Case
    _generator: torch.Generator = field(init=False)
    _files: dict[str, tuple[Tensor, ...]] = field(init=False, default_factory=dict)
    _scope: Mapping[str, object] = field(init=False)

    def __post_init__(self) -> None:
        case = self.case
        self._generator = torch.Generator().manual_seed(case.seed)
        self._scope = {**case.params, "dim": case.dim}
        for spec in tensors_of(case.pattern.inputs):
            if spec.file is not None:
                self._files[str(spec.source)] = self._read(spec, spec.file)
        self._check_counts()

    @property
    def _free(self) -> tuple[tuple[tuple[int, str], ...], ...]:
        """The free axes of each tensor, those by position first; nothing where there are none."""
        inputs = sorted(self.case.pattern.inputs, key=lambda spec: spec.keyword)
        free = tuple(spec.free for spec in tensors_of(inputs))
        return free if any(free) else ()

    @property
    def available(self) -> int:
        """How many batches the files have; one without files."""
        return max((len(batches) for batches in self._files.values()), default=1)

    def batch(self, number: int) -> Inputs:
        """The inputs of a batch."""
        named = [(spec, self._value(spec, number)) for spec in self.case.pattern.inputs]
        args = tuple(value for spec, value in named if not spec.keyword)
        kwargs = {spec.name: value for spec, value in named if spec.keyword}
        return Inputs(args, kwargs, self._free)

    def _value(self, spec: InputSpec, number: int) -> Any:
        if spec.holds == "tuple":
            return tuple(self._value(part, number) for part in spec.parts)
        if spec.holds == "dict":
            return {part.name: self._value(part, number) for part in spec.parts}
        if spec.file is not None:
            value = self._files[str(spec.source)][number]
        else:
            value = draw(spec, shape_of(spec, self._scope), self._generator)
        value = value.to(getattr(torch, self.case.dtype if spec.dtype == "float32" else spec.dtype))
        if spec.memory_format == "contiguous":
            return value
        return value.contiguous(memory_format=getattr(torch, spec.memory_format))

    def _check_counts(self) -> None:
        """Raise DataFault where the files do not have as many batches as are due."""
        wanted = self.case.calibration_batches
        for spec in tensors_of(self.case.pattern.inputs):
            if spec.file is None:
                continue
            count, due = len(self._files[str(spec.source)]), self.available if wanted is None else wanted
            if count < due:
                who = "another input has" if wanted is None else "calibration_batches is"
                found = f"has {count} {'batch' if count == 1 else 'batches'}, and {who} {due}"
                expected = "as many for each input" if wanted is None else f"calibration_batches: {count} or less"
                raise DataFault(spec.file, paths_of(spec.file)[0], found, expected, of=spec.name)

    def _read(self, spec: InputSpec, file: DataFile) -> tuple[Tensor, ...]:
        """The batches that an input's files have, as they are declared."""
        sizes = shape_of(spec, self._scope)
        found: list[Tensor] = []
        for path in paths_of(file):
            for tensor in _chosen(read_tensors(file, path, of=spec.name), file):
                fault = _fault(tensor, spec)
                if isinstance(tensor, Tensor) and fault is None:
                    # What was saved in training may want its gradient.
                    batches = tuple(_cut(tensor.detach(), sizes, whole=spec.whole))
                    fault = None if batches else _unfit(tensor, sizes, whole=spec.whole)
                    found += batches
                if fault is not None:
                    raise DataFault(file, path, fault.found, fault.expected, of=spec.name)
        return tuple(found)


@dataclass(frozen=True)
class _Fault:
    """What a file has in the place of an input's values, and what was due."""

    found: str
    expected: str


def _chosen(content: object, file: DataFile) -> Sequence[object]:
    """What of a file's content is the input: what its key names, or the one thing that there is; a list is several."""
    if file.key is not None:
        known = content if isinstance(content, Mapping) else {}
        if file.key not in known:
            return (_Fault(f"has no '{file.key}': it holds {_names(known)}", "one of its names as the key"),)
        content = known[file.key]
    elif isinstance(content, Mapping):
        if len(content) != 1:
            return (_Fault(f"holds {_names(content)}", "the name of one of them as the key"),)
        content = next(iter(content.values()))
    if isinstance(content, (list, tuple)):
        return content or (_Fault("holds an empty list", "a tensor for each batch"),)
    return (content,)


def _described(found: object) -> str:
    """What is no tensor, by its names if it has some, by its length, or by its text."""
    kind = type(found).__name__
    if isinstance(found, Mapping):
        return f"a {kind} of {_names(found)}"
    if isinstance(found, (list, tuple)):
        return f"a {kind} of {len(found)}"
    return f"{kind} '{str(found)[:40]}'"


def _names(known: Mapping[str, object]) -> str:
    names = [str(name) for name in itertools.islice(known, 5)]
    more = f" and {len(known) - len(names)} more" if len(known) > len(names) else ""
    return f"{', '.join(names)}{more}" if names else "nothing with a name"


def _fault(tensor: object, spec: InputSpec) -> _Fault | None:
    """Why something out of a file cannot be the values of an input, None where it can."""
    if isinstance(tensor, _Fault):
        return tensor
    if not isinstance(tensor, Tensor):
        return _Fault(f"holds {_described(tensor)} where a tensor is due", "a tensor, or a list of tensors")
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype != spec.dtype:
        declared = f"; save it as that, or declare dtype: {dtype}" if dtype in DTYPES else ""
        return _Fault(f"holds {dtype}", f"{spec.dtype}, as declared{declared}")
    if tensor.layout is not torch.strided or tensor.is_meta:
        kind = "a tensor of the device meta" if tensor.is_meta else f"a tensor of the layout {tensor.layout}"
        return _Fault(f"holds {kind}", "a dense tensor with its values")
    size = tensor.numel() * tensor.element_size()
    if size > LARGEST:
        # One value may be spread over any shape.
        return _Fault(f"holds a tensor of {size:,} bytes, of the shape {list(tensor.shape)}", f"at most {LARGEST:,}")
    if not tensor.numel():
        return _Fault(f"holds no values: its shape is {list(tensor.shape)}", "one value or more")
    if tensor.is_floating_point() and bool(tensor.isnan().any()):
        return _Fault(f"holds {int(tensor.isnan().sum())} of {tensor.numel()} values that are NaN", "numbers")
    return None


def _cut(tensor: Tensor, sizes: list[Any], *, whole: bool) -> Iterator[Tensor]:
    """The batches of a tensor: as long as declared, along the first axis, or one for each entry of an axis before.

    None at all where the tensor does not have such a shape.
    """
    if not sizes:
        if not whole or not tensor.ndim:
            yield tensor
        return
    if whole and list(tensor.shape[1:]) == sizes:
        yield from (item.clone() for item in tensor)
        return
    fits = not whole or list(tensor.shape[1:]) == sizes[1:]
    if tensor.ndim and fits and (not whole or tensor.ndim == len(sizes)) and len(tensor) % sizes[0] == 0:
        yield from (part.clone() for part in tensor.split(sizes[0]))


def _unfit(tensor: Tensor, sizes: list[Any], *, whole: bool) -> _Fault:
    found = f"holds a tensor of the shape {list(tensor.shape)}"
    if not whole:
        return _Fault(found, f"batches of {sizes[0]} along its first axis, as declared")
    return _Fault(found, f"batches of the shape {sizes}, one after the other along the first axis or stacked")
