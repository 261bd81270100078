"""Where the lowering of PT2E's programs to oneDNN's kernels lives, and what torch.compile of them needs."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import nn

from qatrix.pipelines.torchenv.importing import RELEASE, PackageMissing, imported
from qatrix.pipelines.torchenv.quantization import TORCHAO_SINCE

_FUNCTION: Final = "lower_pt2e_quantized_to_x86"
# Importing it registers torchao's patterns with Inductor; without them no int8 kernel takes anything, silently.
_PATTERNS: Final = "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"
_X86: Final = frozenset({"x86_64", "AMD64"})
# What torch.compile imports as it compiles; setuptools, which the first one imports, adds to sys.path.
_COMPILING: Final = ("torch.utils.cpp_extension", "torch._inductor.compile_fx", "torch._inductor.utils")
# What torch.compile asks for where the environment variable CXX names nothing else.
_COMPILER: Final = "g++"


def x86_lowering() -> Callable[[nn.Module, tuple[Any, ...]], nn.Module]:
    """The function that lowers a quantized program; raises PackageMissing where this release has none."""
    home = "torch.ao.quantization.pt2e.lowering" if RELEASE < TORCHAO_SINCE else "torchao.quantization.pt2e.lowering"
    register_x86_patterns()
    module = imported(home)
    if not hasattr(module, _FUNCTION):
        msg = f"{home} has no {_FUNCTION}, because this release is older than it; try: pip install -U torch torchao"
        raise PackageMissing(msg)
    found: Callable[[nn.Module, tuple[Any, ...]], nn.Module] = getattr(module, _FUNCTION)
    return found


def register_x86_patterns() -> None:
    """Have Inductor know torchao's patterns of int8 kernels; those of older releases are in torch itself."""
    if RELEASE >= TORCHAO_SINCE:
        imported(_PATTERNS)


@functools.cache
def lowering_missing(*, compiles: bool) -> str | None:
    """Why no program can be lowered to oneDNN here, None where it can; `compiles` asks for a C++ compiler, too."""
    machine = platform.machine()
    if machine not in _X86:
        return (
            f"Inductor's int8 kernels of oneDNN need an x86 processor, and this is {machine}, for which torchao has "
            f"no such lowering; run the case on x86, or name the runtime executorch or onnxruntime"
        )
    if not torch.backends.mkldnn.is_available():
        return (
            "this build of torch has no oneDNN, because torch.backends.mkldnn.is_available() is False; "
            "install a build that has it, such as: pip install torch"
        )
    try:
        x86_lowering()
        for module in _COMPILING if compiles else ():
            imported(module)
    except PackageMissing as error:
        return str(error)
    if compiles and compiler() is None:
        return (
            "torch.compile found no C++ compiler, because neither CXX nor the folders of PATH have one; install g++, "
            "such as by: apt-get install g++, or give the runtime the option compile: false"
        )
    return None


def compiler() -> str | None:
    """The path of the C++ compiler that torch.compile takes on Linux, None where there is none."""
    return shutil.which(os.environ.get("CXX", _COMPILER))
