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
    state = _state(file, path)
    own: dict[str, Any] = model.state_dict(keep_vars=True)
    # What get_extra_state of a module gives may be anything.
    misshapen = {
        name: f"{name} {_shape(state[name])} for {_shape(tensor)}"
        for name, tensor in own.items()
        if name in state and isinstance(tensor, Tensor) and state[name].shape != tensor.shape
    }
    fitting = {name: tensor for name, tensor in state.items() if name not in misshapen}
    loaded = model.load_state_dict(fitting, strict=False)
    # Tied parameters are one tensor, which a file need not have twice.
    given = {id(own[name]) for name in own if name in fitting}
    missing = [name for name in loaded.missing_keys if name not in state and id(own.get(name)) not in given]
    faults = [
        *_listed("lacks", missing),
        *_listed("has, unlike the model,", loaded.unexpected_keys),
        *_listed("has other shapes:", misshapen.values()),
    ]
    if faults:
        expected = "the names and shapes of the model's state_dict()"
        raise DataFault(file, path, f"does not fit the model: it {'; it '.join(faults)}", expected)


def _state(file: DataFile, path: Path) -> Mapping[str, Tensor]:
    """The tensors of a file by their names; raises DataFault where it holds something else."""
    content: Any = read_tensors(file, path)
    found = _no_state(content)
    if found is not None:
        expected = "the model's state_dict alone, as torch.save(model.state_dict(), …) writes it"
        raise DataFault(file, path, found, expected)
    state: Mapping[str, Tensor] = content
    return state


def _no_state(content: object) -> str | None:
    """Why what a file holds is no mapping from names to tensors, None where it is one."""
    if not isinstance(content, Mapping):
        return f"holds {type(content).__name__}"
    if unnamed := [key for key in content if not isinstance(key, str)]:
        return f"holds something under {unnamed[0]!r}, which is no name"
    others = {name: type(item).__name__ for name, item in content.items() if not isinstance(item, Tensor)}
    if not others:
        return None
    return _listed("holds more than tensors:", [f"{kind} '{name}'" for name, kind in others.items()])[0]


def _listed(what: str, names: Collection[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return [f"{what} {', '.join(list(names)[:_TOLD])}{more}"]


def _shape(tensor: Tensor) -> str:
    return str(list(tensor.shape))
