"""A model's parameters and buffers out of a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from qatrix.declare.inputs import DataFile
from qatrix.pipelines.datafiles import DataFault, read_tensors

# Names that a message spells out; the rest it counts.
_TOLD: Final = 5


def load_weights(model: nn.Module, file: DataFile) -> None:
    """Give a model the tensors of a file, in place; raises DataFault unless they are the model's, all and alone."""
    path = Path(file.path)
    state = read_tensors(file, path)
    if not isinstance(state, Mapping) or not all(isinstance(item, Tensor) for item in state.values()):
        expected = "a mapping from names to tensors, as torch.save(model.state_dict(), …) writes it"
        raise DataFault(file, path, "holds no state_dict", expected)
    own: dict[str, Any] = model.state_dict(keep_vars=True)
    misshapen = [
        f"{name} {_shape(state[name])} for {_shape(own[name])}"
        for name in own
        if name in state and isinstance(own[name], Tensor) and state[name].shape != own[name].shape
    ]
    fitting = {name: tensor for name, tensor in state.items() if name not in own or tensor.shape == own[name].shape}
    found = model.load_state_dict(fitting, strict=False)
    # Tied parameters are one tensor, which a file need not have twice.
    given = {id(own[name]) for name in own if name in fitting}
    missing = [name for name in found.missing_keys if name not in state and id(own.get(name)) not in given]
    faults = [
        *_listed("lacks", missing),
        *_listed("has, unlike the model,", found.unexpected_keys),
        *_listed("has other shapes:", misshapen),
    ]
    if faults:
        expected = "the names and shapes of the model's state_dict()"
        raise DataFault(file, path, f"does not fit the model: it {'; it '.join(faults)}", expected)


def _listed(what: str, names: Collection[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return [f"{what} {', '.join(list(names)[:_TOLD])}{more}"]


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
