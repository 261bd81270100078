"""Tensors out of files that declarations name: read as data, whatever is in them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from qatrix.declare.inputs import DataFile
from qatrix.files import NotPlain, open_plain
from qatrix.text import told

_LARGEST: Final = 16 * 2**30


class DataFault(ValueError):
    """A file of tensors cannot be used; the message says which, where it is declared, and what is wrong with it."""

    def __init__(self, file: DataFile, path: Path, fault: str) -> None:
        super().__init__(f"{path.name}, declared at {file.source}, {fault}")


def paths_of(file: DataFile) -> tuple[Path, ...]:
    """The file, or the files of the folder in the order of their names."""
    path = Path(file.path)
    if not path.is_dir():
        return (path,)
    return tuple(sorted(inside for inside in path.iterdir() if inside.suffix in _READERS))


def read_tensors(file: DataFile, path: Path) -> object:
    """What a file holds: tensors by name; of a .pt file whatever it has. Raises DataFault where it cannot be read."""
    try:
        with open_plain(path, largest=_LARGEST) as opened:
            content = opened.read()
        return _READERS[path.suffix](content)
    except NotPlain as error:
        raise DataFault(file, path, str(error)) from error
    except MemoryError:
        raise
    except Exception as error:
        raise DataFault(file, path, f"cannot be read as a {path.suffix} file: {told(error)}") from error


def _npz(content: bytes) -> Mapping[str, Tensor]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > _LARGEST:
        msg = f"it swells to {size:,} bytes"
        raise ValueError(msg)
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: torch.from_numpy(np.array(arrays[name])) for name in arrays.files}


def _pt(content: bytes) -> object:
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


_READERS: Final[Mapping[str, Callable[[bytes], Any]]] = {
    ".npz": _npz,
    ".safetensors": load_safetensors,
    ".pt": _pt,
}
