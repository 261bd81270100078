"""ExecuTorch: a program becomes a .pte, whose parts XNNPACK computes, and runs in ExecuTorch's own runtime."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from torch.export import ExportedProgram

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.delegation import ran_where
from qatrix.pipelines.runtimes.programs import exported, flat_inputs, quantized_ops, restored
from qatrix.pipelines.runtimes.quiet import overheard, without_advice
from qatrix.pipelines.torchenv import PackageMissing, imported

T = TypeVar("T")
_METHOD: Final = "forward"
# The lines that say why a kernel failed; those that follow list its arguments.
_REASONS: Final = 3
_PARTITIONER: Final = "executorch.backends.xnnpack.partition.xnnpack_partitioner"
# All that lowers and runs, which `missing` imports, so that no case is the one that does.
# The last one registers kernels for the quantize and dequantize ops that no delegate takes; it is imported for every
# case, because with it some lower that do not without.
_MODULES: Final = ("executorch.exir", _PARTITIONER, "executorch.runtime", "executorch.kernels.quantized")


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A model as ExecuTorch's runtime has it; `owner` is the loaded program, which the method needs to stay."""

    program: ExportedProgram
    method: Any
    owner: Any
    ran_there: Ran

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        given = flat_inputs(self.program, inputs)
        outputs: Sequence[Any] = _with_its_words(lambda: self.method.execute(given))
        return restored(self.program, outputs)

    def ran(self) -> Ran:
        """What XNNPACK got, and what was left to ExecuTorch's own kernels, by the edge program."""
        return self.ran_there


@dataclass(frozen=True, kw_only=True)
class ExecuTorch:
    """Lowers to the edge dialect, hands parts of it to XNNPACK if `delegates`, and loads what comes out."""

    delegates: bool

    def missing(self) -> str | None:
        """What imports nothing, in words."""
        try:
            for module in _MODULES:
                imported(module)
        except PackageMissing as error:
            return str(error)
        _on_one_thread()
        return None

    def version(self) -> str | None:
        """ExecuTorch's."""
        return torchenv.package_version("executorch")

    def lower(self, program: Program) -> Deployed:
        """The program as a .pte, loaded."""
        exir, partition = imported("executorch.exir"), imported(_PARTITIONER)
        source = exported(program)
        partitioners = [partition.XnnpackPartitioner()] if self.delegates else []
        with without_advice("executorch"):
            edge = exir.to_edge_transform_and_lower(source, partitioner=partitioners)
            graph = edge.exported_program().graph_module
            # Before `to_executorch`, which plans the memory in the same graph.
            ran = ran_where(graph, quantized_ops(source, program.module) if self.delegates else None)
            content = edge.to_executorch().buffer
        owner = imported("executorch.runtime").Runtime.get().load_program(content)
        return Deployed(
            program=source,
            method=_with_its_words(lambda: owner.load_method(_METHOD)),
            owner=owner,
            ran_there=replace(ran, size_bytes=len(content)),
        )


def _with_its_words(call: Callable[[], T]) -> T:
    """What native code returns. Where it fails, the error has a number alone; the reason is what it printed."""
    try:
        with overheard() as said:
            return call()
    except RuntimeError as error:
        if not said:
            raise
        msg = f"{error}: {' '.join(said[:_REASONS])}"
        raise RuntimeError(msg) from error


@functools.cache
def _on_one_thread() -> None:
    """As every case runs, whatever the number of cores; the library also looks at the CPU for it, and says so."""
    with overheard():
        imported("executorch.extension.pybindings.portable_lib")._unsafe_reset_threadpool(1)


def runtime(options: Settings) -> ExecuTorch:
    """The runtime, told whether XNNPACK gets what it can compute."""
    return ExecuTorch(delegates=options["partitioner"] == "xnnpack")
