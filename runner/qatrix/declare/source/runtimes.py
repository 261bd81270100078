"""Where a case's converted models run, as source: each runtime by its own calls."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Final

from qatrix.declare.source.packages import package_needed
from qatrix.declare.source.presets import imported_as
from qatrix.declare.spec import Case, RuntimeUse
from qatrix.scripts import RuntimeSource, literal

# What the lines call the class of a runtime that is not built in.
_CLASS: Final = "runtime_class"
_LEVELS: Final = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
# How to come by a package that a runtime needs.
_NEEDS: Final = {
    "executorch": 'executorch: pip install "qatrix[executorch]" brings it',
    "onnxruntime": "onnxruntime: pip install onnx onnxscript onnxruntime brings it",
}


def runtime_sources(case: Case) -> dict[str, RuntimeSource]:
    """The runtime of each of a case's pipelines that has one."""
    uses = {name: use for name in case.pipelines if (use := case.runtime_of(name)) is not None}
    return {name: _source(name, use) for name, use in uses.items()}


def _source(pipeline: str, use: RuntimeUse) -> RuntimeSource:
    if use.built_in is not None and use.built_in.file is not None:
        msg = f"what {use.runtime} gives is in a file, and was computed elsewhere"
        raise ValueError(msg)
    write = _WRITERS.get(use.runtime)
    needs = _NEEDS.get(use.runtime)
    if write is None:
        needs = package_needed(use.place[0], use.registration)
    body = _own(use) if write is None else write(use.options)
    return RuntimeSource(
        side=f"{pipeline} on {use.runtime}",
        body=textwrap.dedent(body).strip("\n"),
        takes=use.takes,
        needs=needs,
    )


def _exported(options: Mapping[str, object]) -> str:
    del options
    return """
        file = io.BytesIO()
        torch.export.save(exported(program, args, kwargs), file)
        file.seek(0)
        return torch.export.load(file).module()
    """


def _reexported(options: Mapping[str, object]) -> str:
    return f"""
        return exported(program, args, kwargs, strict={options["strict"]}).module()
    """


def _executorch(options: Mapping[str, object]) -> str:
    partitioners = "[XnnpackPartitioner()]" if options["partitioner"] == "xnnpack" else "[]"
    return f"""
        import executorch.kernels.quantized
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower
        from executorch.extension.pybindings.portable_lib import _unsafe_reset_threadpool
        from executorch.runtime import Runtime

        _unsafe_reset_threadpool(1)
        source = exported(program, args, kwargs)
        edge = to_edge_transform_and_lower(source, partitioner={partitioners})
        loaded = Runtime.get().load_program(edge.to_executorch().buffer)
        method = loaded.load_method("forward")

        def run(*args, **kwargs):
            outputs = method.execute(tensors_of(source, args, kwargs))
            # The method needs the program that it comes from.
            assert loaded is not None
            return with_structure_of(source, outputs)

        return run
    """


def _onnxruntime(options: Mapping[str, object]) -> str:
    level = _LEVELS[str(options["optimization"])]
    return f"""
        import onnxruntime

        source = exported(program, args, kwargs)
        model = torch.onnx.export(source, (), dynamo=True, verbose=False).model_proto.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

        def run(*args, **kwargs):
            names = [item.name for item in session.get_inputs()]
            arrays = [tensor.numpy() for tensor in tensors_of(source, args, kwargs)]
            outputs = session.run(None, dict(zip(names, arrays)))
            return with_structure_of(source, map(torch.from_numpy, outputs))

        return run
    """


def _inductor(options: Mapping[str, object]) -> str:
    if options["compile"]:
        return """
            import torch._inductor.config

            torch._inductor.config.freezing = True
            return torch.compile(program)
        """
    # It takes positional arguments alone.
    return """
        from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86

        class Positional(nn.Module):
            def __init__(self):
                super().__init__()
                self.program = program

            def forward(self, *values):
                return self.program(*values[: len(args)], **dict(zip(kwargs, values[len(args) :])))

        lowered = lower_pt2e_quantized_to_x86(Positional() if kwargs else program, (*args, *kwargs.values()))
        return lambda *args, **kwargs: lowered(*args, *kwargs.values())
    """


def _aoti(options: Mapping[str, object]) -> str:
    del options
    return """
        from torch._inductor import aoti_compile_and_package, aoti_load_package, config

        config.freezing = True
        with tempfile.TemporaryDirectory() as folder:
            path = aoti_compile_and_package(exported(program, args, kwargs), package_path=f"{folder}/model.pt2")
            return aoti_load_package(path)
    """


def _native(options: Mapping[str, object]) -> str:
    return f"""
        from torch.ao.quantization.quantize_fx import convert_fx

        torch.backends.quantized.engine = {literal(options["engine"])}
        converted = convert_fx(program, backend_config=backend_config)

        def real(item):
            return item.dequantize() if isinstance(item, torch.Tensor) and item.is_quantized else item

        return lambda *args, **kwargs: pytree.tree_map(real, converted(*args, **kwargs))
    """


def _own(use: RuntimeUse) -> str:
    """A class of unknown code, which is made of its options."""
    make, imports = imported_as(*use.place, name=_CLASS)
    lowered = f"return {make}({literal(use.options)}).lower(copy.deepcopy(program), args, kwargs)"
    return "\n".join((*imports, "", lowered))


_WRITERS: Final[Mapping[str, Callable[[Mapping[str, object]], str]]] = {
    "executorch": _executorch,
    "inductor": _inductor,
    "onnxruntime": _onnxruntime,
    "native": _native,
    "exported": _exported,
    "reexported": _reexported,
    "aoti": _aoti,
}
