"""Inductor on x86: oneDNN's int8 kernels in place of what quantize and dequantize ops stand around.

What a cold process pays for `compile: true`, on one core with g++ 12 and torch 2.15: 7.4 s to find out which vector
instructions the compiler and the processor have, once in a process, then 0.9 s for each C++ kernel of a program.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import fx

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program, onednn
from qatrix.pipelines.runtimes.compiling import recursion_limit_kept, settings
from qatrix.pipelines.traced import Positional

_FOLDER: Final = "TORCHINDUCTOR_CACHE_DIR"
# What Inductor sets for itself while it loads the code that it has compiled.
_POINTER: Final = "_TORCHINDUCTOR_PYOBJECT_TENSOR_DATA_PTR"
# Where Inductor hands over a graph that it will make code of.
_GRAPH_HOOK: Final = "post_grad_custom_post_pass"
# No other process compiles, because it would outlive the case.
_SETTINGS: Final = {"compile_threads": 1}


@dataclass(frozen=True)
class Lowered:
    """A program in oneDNN's ops, run op by op."""

    module: fx.GraphModule
    places: onednn.Places
    positional: bool

    def run(self, inputs: Inputs) -> object:
        """Its outputs; the lowered program itself refuses another size of the batch than the example's."""
        with torch.no_grad():
            return (_positional(inputs) if self.positional else inputs).call(self.module)

    def ran(self) -> Ran:
        """The ops of the lowered graph, and those that it leaves in float."""
        return _ran(onednn.kernels(self.module.graph, self.places), [self.module.graph], self.places)


@dataclass(frozen=True)
class Compiled:
    """A program that Inductor has compiled: the `code` that it wrote, and the `graphs` that it wrote that from."""

    call: Callable[..., Any]
    places: onednn.Places
    code: tuple[str, ...]
    graphs: tuple[fx.Graph, ...]

    def run(self, inputs: Inputs) -> object:
        """Its outputs; for another size of the batch, where the program takes it, code is made anew."""
        with torch.no_grad(), _compiling():
            return inputs.call(self.call)

    def ran(self) -> Ran:
        """What the code calls, and the ops that the graphs leave in float."""
        kernels = [kernel for graph in self.graphs for kernel in onednn.kernels(graph, self.places)]
        return _ran(onednn.called(self.code, kernels), self.graphs, self.places)


@dataclass(frozen=True)
class Inductor:
    """Compiles quantized programs with torch.compile, or lowers them with torchao's `lower_pt2e_quantized_to_x86`.

    What that function gives is not compiled, because torch.compile refuses it where an addition is fused into a
    convolution (torch 2.15: no kernel for auto_functionalized_v2). Both paths take the same patterns.
    """

    compiles: bool

    def missing(self) -> str | None:
        """Why this environment cannot lower or compile, with what to install."""
        return torchenv.lowering_missing(compiles=self.compiles)

    def version(self) -> str | None:
        """None: it is torch itself."""
        return None

    def lower(self, program: Program) -> Lowered | Compiled:
        """The program in oneDNN's ops, for PT2E's programs and for FX's reference alike.

        Where it is compiled, it also runs once on its example inputs.
        """
        torchenv.reset_compiler()
        with torch.no_grad():
            return _compiled(program) if self.compiles else _lowered(program)


def runtime(options: Settings) -> Inductor:
    """The runtime; compiled unless the options say otherwise."""
    return Inductor(compiles=bool(options["compile"]))


def _ran(kernels: Any, graphs: Any, places: onednn.Places) -> Ran:
    float_ops = [item for graph in graphs for item in onednn.float_ops(graph, places)]
    return Ran(kernels=tuple(kernels), float_ops=tuple(float_ops))


def _lowered(program: Program) -> Lowered:
    positional = bool(program.inputs.kwargs)
    inputs = _positional(program.inputs) if positional else program.inputs
    module = Positional(program.module, program.inputs) if positional else program.module
    lowered: Any = torchenv.x86_lowering()(module, inputs.copies().args)
    return Lowered(module=lowered, places=onednn.Places.of(program.module), positional=positional)


def _compiled(program: Program) -> Compiled:
    from torch._inductor.utils import run_and_get_code

    torchenv.register_x86_patterns()
    graphs: list[fx.Graph] = []
    compiled = torch.compile(program.module)
    inputs = program.inputs.copies()
    with _compiling(graphs.append):
        _, code = run_and_get_code(compiled, *inputs.args, **inputs.kwargs)
    places = onednn.Places.of(program.module)
    return Compiled(call=compiled, places=places, code=tuple(code), graphs=tuple(graphs))


@contextmanager
def _compiling(seen: Callable[[fx.Graph], None] = lambda _: None) -> Iterator[None]:
    """Within it, torch.compile works in this process alone, and in a folder of its own, which is gone at the end.

    `seen` gets each graph that code is made of.
    """
    from torch._inductor import config, cpu_vec_isa

    before = {name: os.environ.get(name) for name in (_FOLDER, _POINTER)}
    with tempfile.TemporaryDirectory(prefix="qatrix-inductor-", ignore_cleanup_errors=True) as folder:
        os.environ[_FOLDER] = folder
        try:
            # The process keeps what this finds, and so do processes that are forked from it.
            cpu_vec_isa.valid_vec_isa_list()
            with recursion_limit_kept(), config.patch(settings(config, {**_SETTINGS, _GRAPH_HOOK: seen})):
                yield
        finally:
            _set_back(before)


def _set_back(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _positional(inputs: Inputs) -> Inputs:
    return Inputs(inputs.values, free=inputs.free)
