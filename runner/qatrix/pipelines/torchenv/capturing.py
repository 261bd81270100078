"""How a model is captured in the installed release.

A model has to be captured into the same IR as the patterns that the library's own QAT fusion
looks for. With another one nothing raises: the model is quantized and not fused, or not even
quantized. Measured on conv-bn-relu: `export_for_training` on torch 2.5.1 and `export` on 2.3.1.
"""

from __future__ import annotations

import copy
import functools
import io
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv.importing import RELEASE, imported, imported_if_there

# Makes a program of the captured model; each call gives one of its own, with weights of its own.
Programs = Callable[[], nn.Module]

# Releases before this one capture a model for quantization with a function that knows no exported program.
_EXPORTED_PROGRAMS: Final = (2, 6)
# Since this one `torch.export.export` itself gives the IR that is quantized.
_EXPORT: Final = (2, 8)
# The size of a first axis that has no other name.
_BATCH: Final = "batch"
_FLOAT_NAMES: Final = "float_names"
_TRACER: Final = "torch._dynamo.functional_export"
_DECOMPOSERS: Final = ("torch._export.utils", "torch.export.decomp_utils", "torch.export.exported_program")
_TRACED: Final = (_TRACER, "torch._dynamo.eval_frame")
# What torch.compile imports when it first compiles.
_COMPILER: Final = "torch._inductor.compile_fx"
_REMEMBERING: Final = (
    ("torchao.utils", "_assert_and_get_unique_device"),
    ("torch.ao.quantization.fx.utils", "assert_and_get_unique_device"),
)


def capture(model: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool = True) -> Programs:
    """Programs of the model in the mode that it is in; the first axis of every input is free if `dynamic_batch`.

    The free axes of the inputs are free in any case.

    `strict` is always passed on, because what it is by default changed with 2.8. Before 2.6 there is one capture alone.
    """
    shapes = _dynamic_shapes(inputs, dynamic_batch=dynamic_batch)
    if RELEASE < _EXPORTED_PROGRAMS:
        return _pre_autograd(model, inputs, shapes)
    export = imported("torch.export").export_for_training if RELEASE < _EXPORT else torch.export.export
    program = export(model, inputs.args, dict(inputs.kwargs), dynamic_shapes=shapes, strict=strict)
    return functools.partial(_own_module, program)


def exported(
    program: nn.Module, inputs: Inputs, *, dynamic_batch: bool, strict: bool | None = None
) -> torch.export.ExportedProgram:
    """A quantized program, exported; as the release does by default where `strict` is None."""
    reset_compiler()
    shapes = _dynamic_shapes(inputs, dynamic_batch=dynamic_batch)
    told: dict[str, Any] = {} if strict is None else {"strict": strict}
    return torch.export.export(program, inputs.args, dict(inputs.kwargs), dynamic_shapes=shapes, **told)


def saved_and_loaded(program: nn.Module, inputs: Inputs, *, dynamic_batch: bool) -> nn.Module:
    """A program as `torch.export` saves and loads it, exported as the release does by default."""
    file = io.BytesIO()
    torch.export.save(exported(program, inputs, dynamic_batch=dynamic_batch), file)
    file.seek(0)
    return torch.export.load(file).module()


def _dynamic_shapes(inputs: Inputs, *, dynamic_batch: bool) -> Any:
    """What torch.export is told of the inputs' axes; None where all are fixed."""
    if not dynamic_batch and not inputs.free:
        return None
    sizes: dict[str, Any] = {}
    free = iter(inputs.free)

    def axes_of(value: object) -> Any:
        if not isinstance(value, Tensor):
            return None
        names = ({0: _BATCH} if dynamic_batch and value.ndim else {}) | dict(next(free, ()))
        return {axis: sizes.setdefault(name, torch.export.Dim(name)) for axis, name in names.items()} or None

    return pytree.tree_map(axes_of, inputs.values)


def capture_name() -> str:
    """What captures a model in this release, as it would be written."""
    if RELEASE < _EXPORTED_PROGRAMS:
        return "torch._export.capture_pre_autograd_graph"
    return f"torch.export.{'export_for_training' if RELEASE < _EXPORT else 'export'}(strict=True)"


def named_tensors(captured: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of a captured program by their names in the float model."""
    names: dict[str, str] = captured.meta.get(_FLOAT_NAMES, {}) if isinstance(captured, fx.GraphModule) else {}
    for name, tensor in itertools.chain(captured.named_parameters(), captured.named_buffers()):
        yield names.get(name, name), tensor


def reset_compiler() -> None:
    """Forget what torch.export's tracer remembers of earlier models.

    Without it, a process that captures many models hits dynamo's limit of recompilations.
    Before torch 2.6 nothing is forgotten: there is no such limit for what is exported, and
    the metadata of captured programs that are still in use would be freed (`RuntimeError:
    unsupported scalarType` in convert).
    """
    if RELEASE >= _EXPORTED_PROGRAMS:
        dynamo: Any = torch._dynamo
        dynamo.reset()


def export_tracer() -> types.ModuleType | None:
    """The module in which dynamo traces what is exported; None in releases that trace it elsewhere."""
    return imported_if_there(_TRACER)


def decomposers() -> tuple[types.ModuleType | None, ...]:
    """The modules that know the walk through all composite ops: its own, and who has imported it by name."""
    return tuple(map(imported_if_there, _DECOMPOSERS))


def forget_programs() -> None:
    """Let go of the programs that torch and torchao remember: after 1,500 cases a worker held 7.7 GB.

    What torch.compile has made goes, too, where it has been at work. Both remember the device of
    every module that they were asked for, and with it the module, in a functools.cache; and what
    dynamo makes of a model stays among the globals of the function that it traced, which for an
    export is one of its own.
    """
    if _COMPILER in sys.modules:
        reset_compiler()
    for module, function in _REMEMBERING:
        remembered: Any = getattr(sys.modules.get(module), function, None)
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()
    for module in _TRACED:
        names = vars(sys.modules.get(module, object))
        for name in [name for name in names if name.startswith("__compiled_fn_")]:
            delattr(sys.modules[module], name)


def _pre_autograd(model: nn.Module, inputs: Inputs, shapes: Any) -> Programs:
    """A capture for each program: these modules share their tensors with the model, and copies lose their `train`."""
    kept = copy.deepcopy(model)

    def program() -> nn.Module:
        capture_graph = imported("torch._export").capture_pre_autograd_graph
        captured: nn.Module = capture_graph(
            copy.deepcopy(kept), inputs.args, dict(inputs.kwargs), dynamic_shapes=shapes
        )
        assert isinstance(captured, fx.GraphModule)
        # `conv.weight` becomes `conv_weight` there (_restore_state_dict in torch/export/_trace.py).
        names = {name.replace(".", "_"): name for name, _ in (*kept.named_parameters(), *kept.named_buffers())}
        captured.meta[_FLOAT_NAMES] = names
        with torch.no_grad():
            # Capturing counts a batch: `num_batches_tracked` is 1 before anything has run.
            for name, buffer in captured.named_buffers():
                if name in names:
                    buffer.copy_(kept.get_buffer(names[name]))
        return captured

    first = [program()]
    return lambda: first.pop() if first else program()


def _own_module(program: torch.export.ExportedProgram) -> nn.Module:
    """A module of an exported program that shares no tensor with the program's other modules."""
    module = program.module()
    copies: dict[int, Any] = {}
    for part in module.modules():
        owners: tuple[dict[str, Any], ...] = (part._parameters, part._buffers, vars(part))
        for owner in owners:
            tensors = {name: value for name, value in owner.items() if isinstance(value, Tensor)}
            owner.update({name: copy.deepcopy(tensor, copies) for name, tensor in tensors.items()})
    return module
