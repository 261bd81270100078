"""What qatrix adds to a runtime's own calls, from a converted program to its outputs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.rows import Row, seconds
from benchmarks.selection import CONV_BN, shipped
from qatrix.declare.spec import QuantizerSpec, RuntimeUse

if TYPE_CHECKING:
    from qatrix.pipelines.runtimes import Runtime

_REPEATS: Final = 5
_REACH: Final = 1.3
# With the options that need no compiler, whose time would hide everything else.
_OPTIONS: Final[Mapping[str, Mapping[str, object]]] = {
    "executorch": {"partitioner": "xnnpack"},
    "onnxruntime": {"optimization": "all"},
    "inductor": {"compile": False},
    "native": {"engine": "x86"},
}


@dataclass(frozen=True, kw_only=True)
class _Model:
    """A small model: as PT2E converted it for XNNPACK and Inductor, as FX prepared it, and what it is called with."""

    int8: Any
    uint8: Any
    prepared: Any
    example: Any
    quantizer: QuantizerSpec


def lowering() -> Iterator[Row]:
    """A runtime's own calls against qatrix's stages, from a converted program to its outputs and what ran where."""
    own = {"executorch": _executorch, "onnxruntime": _onnxruntime, "inductor": _inductor, "native": _native}
    model = _model()
    for name, calls in own.items():
        yield _measured(name, model, calls)


def _measured(name: str, model: _Model, own: Callable[[_Model], object]) -> Row:
    from qatrix.pipelines.runtimes import runtime_of

    what = f"{name}: qatrix's stages against the runtime's own calls"
    runtime = runtime_of(RuntimeUse(runtime=name, options=_OPTIONS[name]))
    if why := runtime.missing():
        return Row(what=what, figure=f"not measured: {why}")
    ways: tuple[Callable[[], object], ...] = (lambda: _stages(runtime, name, model), lambda: own(model))
    fastest = [float("inf")] * len(ways)
    # In turns, after one of each: what disturbs one disturbs the other as well.
    for turn in range(_REPEATS + 1):
        for place, call in enumerate(ways):
            # Otherwise Python collects it in the midst of one of the two, always the same one: 0.3 s.
            gc.collect()
            began = time.process_time()
            call()
            if turn:
                fastest[place] = min(fastest[place], time.process_time() - began)
    stages, calls = fastest
    return Row(
        what=what,
        figure=f"{stages / calls:.3g} times ({seconds(stages)}, {seconds(calls)})",
        figures={"stages_seconds": stages, "own_calls_seconds": calls},
        reach=f"at most {_REACH} times",
        reached=stages / calls <= _REACH,
        how="two convolutions with batch norm and ReLU, lowered, run once, and asked what ran where; the least"
        f" processor time of {_REPEATS} each, in turns, in one process that is warmed up",
    )


def _stages(runtime: Runtime, name: str, model: _Model) -> None:
    from qatrix.pipelines.inputs import Inputs
    from qatrix.pipelines.runtimes import Program

    inputs = Inputs.of(model.example)
    module = {"native": model.prepared, "inductor": model.uint8}.get(name, model.int8)
    lowered = runtime.lower(Program(module=module, inputs=inputs, quantizer=model.quantizer))
    lowered.run(inputs)
    lowered.ran()


def _model() -> _Model:
    import torch
    from torch import nn
    from torch.ao.quantization import get_default_qconfig_mapping
    from torch.ao.quantization.quantize_fx import prepare_fx
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    from torchao.testing.pt2e import _xnnpack_quantizer as xnnpack

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU()),
    ).eval()
    example = torch.randn(2, 3, 16, 16)

    def converted(quantizer: Any) -> Any:
        observed = prepare_pt2e(torch.export.export(model, (example,)).module(), quantizer)
        observed(example)
        return convert_pt2e(observed)

    prepared = prepare_fx(model, get_default_qconfig_mapping("x86"), (example,))
    prepared(example)
    return _Model(
        int8=converted(xnnpack.XNNPACKQuantizer().set_global(xnnpack.get_symmetric_quantization_config())),
        uint8=converted(x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())),
        prepared=prepared,
        example=example,
        # Which one it is changes nothing; reading the shipped matrix for it takes 0.2 s.
        quantizer=shipped(CONV_BN)[0].quantizer,
    )


def _executorch(model: _Model) -> object:
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(model.int8, (model.example,))
    deployed = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    return Runtime.get().load_program(deployed.buffer).load_method("forward").execute([model.example])


def _onnxruntime(model: _Model) -> object:
    import onnxruntime
    import torch

    program = torch.onnx.export(torch.export.export(model.int8, (model.example,)), (), dynamo=True, verbose=False)
    assert program is not None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    content = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: model.example.numpy()})


def _inductor(model: _Model) -> object:
    import torch
    from torchao.quantization.pt2e.lowering import lower_pt2e_quantized_to_x86

    with torch.no_grad():
        return lower_pt2e_quantized_to_x86(model.uint8, (model.example,))(model.example)


def _native(model: _Model) -> object:
    import copy

    import torch
    from torch.ao.quantization.quantize_fx import convert_fx

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "x86"
    try:
        return convert_fx(copy.deepcopy(model.prepared))(model.example)
    finally:
        torch.backends.quantized.engine = before
