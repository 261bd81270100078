"""A model that a test has in hand, declared as one case: tensors in files, and YAML that names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qatrix.declare.yamltext import written
from qatrix.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

SUITE: Final = "live"
# What makes the model of a case, once the object itself stands in the place of its arguments.
MAKER: Final = "qatrix.testing.live.made"
_BATCHES: Final = "batches"
_EXPECTED: Final = "expected a tensor, a tuple or list of inputs by position, or a dict of inputs by keyword"


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What a test says of a model's case beside the model: the batches, of which the first is compared, and the rest.

    A tolerance is a pair of `rtol` and `atol`.
    """

    pattern: str
    batches: Sequence[object]
    quantizer: str
    pipelines: Sequence[str] | None
    device: str | None
    tolerance: tuple[float, float] | None

    def write(self, folder: Path) -> Path:
        """Write the YAML and the tensors into a folder. Raises UsageError for inputs that are no tensors."""
        from safetensors.torch import save_file

        (folder / _BATCHES).mkdir()
        expected = dict(_tensors(self.batches[0], "x")).keys()
        for number, batch in enumerate(self.batches):
            tensors = {name: _plain(tensor) for name, tensor in _tensors(batch, "x")}
            if tensors.keys() != expected:
                msg = f"calibration batch {number} is not built as the inputs are; give all batches the same structure"
                raise UsageError(msg)
            save_file(tensors, folder / _BATCHES / f"{number:06}.safetensors")
        path = folder / f"{SUITE}.yaml"
        path.write_text("\n".join([*self._lines(), ""]), encoding="utf-8")
        return path

    def _lines(self) -> Iterator[str]:
        yield "patterns:"
        yield f"  {written(self.pattern)}:"
        yield f"    model: {written(MAKER)}"
        yield "    inputs:"
        for name, keys in _inputs(self.batches[0]):
            yield f"      {written(name)}: {written(keys)}"
        if self.tolerance is not None:
            rtol, atol = self.tolerance
            yield f"tolerances: {written({SUITE: {'rtol': rtol, 'atol': atol}})}"
        yield "suites:"
        yield f"  {SUITE}:"
        yield "    axes:"
        yield f"      pattern: {written([self.pattern])}"
        yield f"      quantizer: {written([self.quantizer])}"
        if self.device is not None:
            yield f"      device: {written([self.device])}"
        if self.pipelines is not None:
            yield f"    pipelines: {written({'only': list(self.pipelines), 'because': 'the test names them'})}"
        if self.tolerance is not None:
            yield f"    tolerance: {SUITE}"


def _inputs(batch: object) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The inputs of a model as YAML has them: their names, and their keys."""
    if isinstance(batch, Mapping):
        yield from ((str(name), {**_keys(value, f"x.{name}"), "by": "keyword"}) for name, value in batch.items())
    elif isinstance(batch, tuple | list):
        yield from ((f"x{place}", _keys(value, f"x.{place}")) for place, value in enumerate(batch))
    else:
        yield "x", _keys(batch, "x")


def _keys(value: object, key: str) -> dict[str, object]:
    if isinstance(value, Mapping):
        return {"dict": {str(name): _keys(part, f"{key}.{name}") for name, part in value.items()}}
    if isinstance(value, tuple | list):
        return {"tuple": [_keys(part, f"{key}.{place}") for place, part in enumerate(value)]}
    tensor = _tensor(value)
    keys: dict[str, object] = {"from": _BATCHES, "key": key, "dtype": str(tensor.dtype).removeprefix("torch.")}
    if layout := _memory_format(tensor):
        keys["memory_format"] = layout
    return keys


def _tensors(value: object, key: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a batch by the names that they have in its file."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _tensors(part, f"{key}.{name}")
    elif isinstance(value, tuple | list):
        for place, part in enumerate(value):
            yield from _tensors(part, f"{key}.{place}")
    else:
        yield key, _tensor(value)


def _tensor(value: Any) -> Tensor:
    import torch

    if isinstance(value, torch.Tensor):
        return value
    msg = f"an input is a {type(value).__name__}; {_EXPECTED}"
    raise UsageError(msg)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous().clone()


def _memory_format(tensor: Tensor) -> str | None:
    """How the values lie in memory, where it is not in the order of the axes."""
    import torch

    if tensor.is_contiguous():
        return None
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    found = formats.get(tensor.ndim)
    return str(found).removeprefix("torch.") if found and tensor.is_contiguous(memory_format=found) else None
