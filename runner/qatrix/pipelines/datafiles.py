"""Tensors out of files that declarations name: read as data, whatever is in them."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load as load_safetensors

from qatrix.declare.inputs import DataFile
from qatrix.files import LARGEST, NotPlain, open_plain
from qatrix.pipelines.torchenv.importing import RELEASE
from qatrix.text import told

# Up to 2.5.1 torch.load runs code even with weights_only (CVE-2025-32434).
_SAFE: Final = (2, 6)


class DataFault(ValueError):
    """A file of tensors cannot be used; the message says which, where it is declared, what it has and what was due."""

    def __init__(self, file: DataFile, path: Path, found: str, expected: str, *, of: str | None = None) -> None:
        whose = "" if of is None else f" for the input '{of}'"
        super().__init__(f"{path.name}, declared at {file.source}{whose}, {found}; expected {expected}")


class _UnreadableError(Exception):
    """A file that is not read; the message says why."""


def paths_of(file: DataFile) -> tuple[Path, ...]:
    """The file, or the files of the folder in the order of their names."""
    path = Path(file.path)
    if not path.is_dir():
        return (path,)
    return tuple(sorted(inside for inside in path.iterdir() if inside.suffix in _READERS))


def read_tensors(file: DataFile, path: Path, *, of: str | None = None) -> object:
    """What a file holds: tensors by name, or whatever else it has. Raises DataFault where it cannot be read."""
    try:
        with open_plain(path, largest=LARGEST) as opened:
            content = opened.read()
        return _READERS[path.suffix](content)
    except NotPlain as error:
        raise DataFault(file, path, str(error), "a plain file", of=of) from error
    except _UnreadableError as error:
        raise DataFault(file, path, f"cannot be read: {error}", f"a {path.suffix} file of tensors", of=of) from error
    except MemoryError:
        raise
    except Exception as error:
        raise DataFault(file, path, f"cannot be read: {told(error)}", f"a whole {path.suffix} file", of=of) from error


def _npz(content: bytes) -> Mapping[str, object]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > LARGEST:
        msg = f"it swells to {size:,} bytes"
        raise _UnreadableError(msg)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: _tensor(arrays[name]) for name in arrays.files}


def _tensor(array: Any) -> object:
    """The tensor of an array; texts and dates, which may stand beside the one that is wanted, stay what they are."""
    try:
        return torch.from_numpy(np.array(array))
    except TypeError:
        return array


def _pt(content: bytes) -> object:
    if RELEASE < _SAFE:
        msg = "before torch 2.6 a .pt or .pth file can run code as it is read; save the tensors as .safetensors instead"
        raise _UnreadableError(msg)
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # What torch says then is how to read it without any safety.
        msg = (
            "it is no file that torch.save wrote, or holds more than tensors, numbers, texts, lists and dicts;"
            " of a whole model only the state_dict() can be read"
        )
        raise _UnreadableError(msg) from error


_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    ".npz": _npz,
    ".safetensors": load_safetensors,
    ".pt": _pt,
    ".pth": _pt,
}
