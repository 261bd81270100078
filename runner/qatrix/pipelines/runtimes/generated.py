"""What a program that AOTInductor compiled computes in, by the C++ that it generated."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from qatrix.lowerings import Arithmetic, Ran
from qatrix.pipelines.runtimes.kernels import counted

# A call of a kernel of torch's, through the interface of C that compiled programs have.
_KERNEL: Final = re.compile(r"\baoti_torch_(?:cpu|mkldnn)_\w+(?=\()")
# A loop that the compiler made, by the ops in it.
_LOOP: Final = re.compile(r"\bcpp_fused_\w+(?=\()")
_IN_INTEGERS: Final = re.compile(r"_q(?:conv|linear)|_int_mm|qbinary|qadd|qmul")
# In the name of a loop: what only rounds and moves values, and the loop's number.
_MOVING: Final = re.compile(r"_(?:de)?quantize_per_(?:tensor|channel)|_(?:slice|view|permute|clone)|_\d+$")
_NO_INTEGERS: Final = (
    "AOTInductor found no convolution or linear layer that it computes in integers, and computes all as the"
    " reference does"
)


def sources(package: Path) -> Mapping[str, str]:
    """The C++ of a package, by the names of its files."""
    with zipfile.ZipFile(package) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".cpp")}


def ran_where(code: Mapping[str, str], *, size_bytes: int | None = None) -> Ran:
    """The kernels that the wrapper calls, and the loops."""
    kernels = counted(_kernels("\n".join(text for name, text in code.items() if not name.endswith(".kernel.cpp"))))
    in_integers = any(kernel.arithmetic == "integers" for kernel in kernels)
    return Ran(kernels=kernels, size_bytes=size_bytes, notes=() if in_integers else (_NO_INTEGERS,))


def _kernels(wrapper: str) -> Iterator[tuple[str, Arithmetic, tuple[()]]]:
    for found in _KERNEL.finditer(wrapper):
        name = found.group()
        yield name, "integers" if _IN_INTEGERS.search(name) else "float", ()
    for name in dict.fromkeys(_LOOP.findall(wrapper)):
        rest = _MOVING.sub("", name.removeprefix("cpp_fused"))
        yield name, "float" if rest.strip("_") else "none", ()
