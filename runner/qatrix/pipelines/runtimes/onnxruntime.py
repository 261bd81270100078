"""ONNX Runtime: a program goes through `torch.onnx.export`, and runs on the CPU in a session of its own."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch.export import ExportedProgram

from qatrix.declare.spec import Settings
from qatrix.lowerings import Ran
from qatrix.pipelines import torchenv
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.runtimes import Program
from qatrix.pipelines.runtimes.onnx_graphs import ran_where
from qatrix.pipelines.runtimes.programs import (
    QuantizedOp,
    exported,
    flat_inputs,
    is_computing,
    origin,
    quantized_ops,
    restored,
)
from qatrix.pipelines.runtimes.quiet import without_advice
from qatrix.pipelines.torchenv import RELEASE, PackageMissing, imported

# Earlier ones cannot export quantize and dequantize ops.
_EXPORTS_SINCE: Final = (2, 6)
_MODULES: Final = ("onnx", "onnxscript", "onnxruntime", "torch.onnx._internal.exporter._core")
_PROVIDERS: Final = ("CPUExecutionProvider",)
# Errors; below it are advice and the progress of the optimizer.
_SEVERITY: Final = 3
_LEVELS: Final = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# Those that put integer kernels in the place of quantize, float and dequantize ops.
_IN_INTEGERS: Final = frozenset(("extended", "all"))


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A session, the model that it was given, and the one that it made of it.

    `wanted` are the ops that are to run in integers, by the name that the exporter gave them, None where the
    optimization level puts none there.
    """

    program: ExportedProgram
    session: Any
    given: Any
    optimized: bytes
    wanted: dict[str, QuantizedOp] | None
    size_bytes: int

    def run(self, inputs: Inputs) -> object:
        """Its outputs."""
        names = [item.name for item in self.session.get_inputs()]
        arrays = [tensor.detach().numpy() for tensor in flat_inputs(self.program, inputs)]
        outputs = self.session.run(None, dict(zip(names, arrays, strict=True)))
        return restored(self.program, [torch.from_numpy(output) for output in outputs])

    def ran(self) -> Ran:
        """The ops of the model that its optimizer made."""
        model = imported("onnx").load_model_from_string(self.optimized)
        return ran_where(model.graph, self.given, self.wanted, size_bytes=self.size_bytes)


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime:
    """Exports, and starts a session of one thread at an optimization level."""

    optimization: str

    def missing(self) -> str | None:
        """What imports nothing, in words; a release of torch that exports nothing quantized."""
        if RELEASE < _EXPORTS_SINCE:
            since = ".".join(map(str, _EXPORTS_SINCE))
            return f"torch {torch.__version__} exports no quantized program to ONNX; torch {since} and later do"
        try:
            for module in _MODULES:
                imported(module)
        except PackageMissing as error:
            return str(error)
        return None

    def version(self) -> str | None:
        """ONNX Runtime's."""
        return torchenv.package_version("onnxruntime")

    def lower(self, program: Program) -> Deployed:
        """The program as an ONNX model in a session."""
        source = exported(program)
        with without_advice("torch.onnx", "onnxscript", "onnx_ir"):
            model = torch.onnx.export(source, (), dynamo=True, verbose=False)
        assert model is not None
        assert model.exported_program is not None
        given = model.model_proto
        content = given.SerializeToString()
        session, optimized = self._session(content)
        return Deployed(
            program=source,
            session=session,
            given=given.graph,
            optimized=optimized,
            wanted=_wanted(source, program, model.exported_program) if self.optimization in _IN_INTEGERS else None,
            size_bytes=len(content),
        )

    def _session(self, model: bytes) -> tuple[Any, bytes]:
        """A session that runs the model, and the model as its optimizer left it, which comes by a file alone."""
        library = imported("onnxruntime")
        options = library.SessionOptions()
        options.graph_optimization_level = getattr(library.GraphOptimizationLevel, _LEVELS[self.optimization])
        options.intra_op_num_threads = options.inter_op_num_threads = torchenv.THREADS
        options.use_deterministic_compute = True
        options.log_severity_level = _SEVERITY
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "optimized.onnx"
            options.optimized_model_filepath = str(file)
            session = library.InferenceSession(model, options, providers=list(_PROVIDERS))
            return session, file.read_bytes()


def _wanted(source: ExportedProgram, program: Program, decomposed: ExportedProgram) -> dict[str, QuantizedOp]:
    """The ops that are quantized, by their names in the program that the exporter has made other ops of."""
    by_origin = quantized_ops(source, program.module)
    computing = [(node.name, origin(node)) for node in decomposed.graph.nodes if is_computing(node)]
    return {name: by_origin[begun] for name, begun in computing if begun in by_origin}


def runtime(options: Settings) -> OnnxRuntime:
    """The runtime, told how far its optimizer goes."""
    return OnnxRuntime(optimization=str(options["optimization"]))
