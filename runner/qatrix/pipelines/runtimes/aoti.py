"""AOTInductor: a program is compiled to C++ ahead of time, packaged as .pt2, and loaded."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.compiling import recursion_limit_kept, settings
from qatrix.pipelines.runtimes.generated import ran_where, sources
from qatrix.pipelines.runtimes.programs import exported
from qatrix.pipelines.runtimes.quiet import without_advice
from qatrix.pipelines.torchenv import RELEASE, PackageMissing, imported

# Earlier ones name what clears Inductor's caches otherwise, and are not tried.
_SINCE: Final = (2, 8)
_UTILS: Final = "torch._inductor.utils"
_BUILDER: Final = "torch._inductor.cpp_builder"
# Importing it registers, for the whole process, the passes of Inductor that find integer layers; without it all is in
# floating point. Other cases of a process import it or not, so that it is always imported.
_PASSES: Final = "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer"
# `torch.utils.cpp_extension` imports setuptools, which adds to sys.path.
_MODULES: Final = ("torch.utils.cpp_extension", "torch._inductor.compile_fx", _BUILDER, _UTILS, _PASSES)
_CONFIG: Final = "torch._inductor.config"
# They tell of compilers and accelerators that are not here.
_LOGGERS: Final = ("torch._inductor", "torch.utils.cpp_extension")
# What it writes into the configuration for its package is taken back.
_SETTINGS: Final[Mapping[str, Any]] = {"aot_inductor.metadata": {}}


@dataclass(frozen=True, kw_only=True)
class Packaged:
    """A compiled program, loaded from its package."""

    model: Any
    code: Mapping[str, str] = field(repr=False)
    size_bytes: int

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        with torch.no_grad():
            return inputs.call(self.model)

    def ran(self) -> Ran:
        """The kernels that its C++ calls."""
        return ran_where(self.code, size_bytes=self.size_bytes)


class Aoti:
    """Compiles, packages and loads, each case in folders of its own."""

    def missing(self) -> str | None:
        """A compiler of C++ that is not here; a release of torch that is too old."""
        if RELEASE < _SINCE:
            since = ".".join(map(str, _SINCE))
            return f"AOTInductor is used on torch {since} and later; this is torch {torch.__version__}"
        try:
            with without_advice(*_LOGGERS):
                for module in _MODULES:
                    imported(module)
            imported(_BUILDER).get_cpp_compiler()
        except PackageMissing as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - whatever it raises, there is no compiler
            why = str(error).partition("\n")[0]
            return f"AOTInductor finds no C++ compiler ({why}); install one, such as: apt-get install g++"
        return None

    def version(self) -> str | None:
        """None: it is torch itself."""
        return None

    def lower(self, program: Program) -> Packaged:
        """The program, compiled, packaged and loaded."""
        inductor = imported("torch._inductor")
        source = exported(program)
        with tempfile.TemporaryDirectory() as folder, _compiling_in(folder), torch.no_grad():
            path = inductor.aoti_compile_and_package(source, package_path=str(Path(folder) / "model.pt2"))
            return Packaged(
                model=inductor.aoti_load_package(path),
                code=sources(Path(path)),
                size_bytes=Path(path).stat().st_size,
            )


@contextlib.contextmanager
def _compiling_in(folder: str) -> Iterator[None]:
    """Inductor with a cache below that folder, frozen weights, and nothing else changed afterwards."""
    config = imported(_CONFIG)
    with (
        without_advice(*_LOGGERS),
        imported(_UTILS).fresh_cache(dir=folder),
        config.patch(settings(config, _SETTINGS)),
        recursion_limit_kept(),
    ):
        yield


def runtime(options: Settings) -> Aoti:
    """The runtime; it has no options."""
    del options
    return Aoti()
