"""The runtimes that qatrix knows by name: where they are, what they are told, which pipelines' programs they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from qatrix.ways import Preset

# What a runtime lowers: the converted program, or the prepared one, which it converts itself.
Takes = Literal["converted", "prepared"]
Option = str | int | bool


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A runtime of qatrix's own: the module that it is in, which has a function `runtime(options)`.

    `presets` are the kinds of pipelines whose programs it lowers. `options` has the values that each option may have,
    the default first. `computes_in_integers` says whether what is quantized is meant to run in integers there, or
    as the reference does, in floating point between quantize and dequantize ops. `file` is the option that names a
    file of tensors, which has to be there, None where there is none.
    """

    module: str
    about: str
    presets: tuple[Preset, ...]
    takes: Takes = "converted"
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    computes_in_integers: bool = True
    file: str | None = None


_ALL: Final[tuple[Preset, ...]] = ("pt2e", "fx")

BUILT_IN: Final[Mapping[str, BuiltIn]] = {
    "executorch": BuiltIn(
        module="qatrix.pipelines.runtimes.executorch",
        about="ExecuTorch: lowered to XNNPACK, saved as .pte, run by ExecuTorch's own runtime in Python",
        presets=_ALL,
        options={"partitioner": ("xnnpack", "none")},
    ),
    "inductor": BuiltIn(
        module="qatrix.pipelines.runtimes.inductor",
        about="Inductor on x86: oneDNN's int8 kernels, compiled by torch.compile",
        presets=_ALL,
        options={"compile": (True, False)},
    ),
    "onnxruntime": BuiltIn(
        module="qatrix.pipelines.runtimes.onnxruntime",
        about="ONNX Runtime on the CPU, from torch.onnx.export",
        presets=_ALL,
        options={"optimization": ("all", "extended", "basic", "none")},
    ),
    "native": BuiltIn(
        module="qatrix.pipelines.runtimes.native",
        about="FX graph mode's own kernels: what convert_fx gives on a quantized engine",
        presets=("fx",),
        takes="prepared",
        options={"engine": ("qnnpack", "x86", "fbgemm", "onednn")},
    ),
    "exported": BuiltIn(
        module="qatrix.pipelines.runtimes.exported",
        about="torch.export.save, then torch.export.load",
        presets=_ALL,
        computes_in_integers=False,
    ),
    "reexported": BuiltIn(
        module="qatrix.pipelines.runtimes.reexported",
        about="torch.export again",
        presets=_ALL,
        options={"strict": (True, False)},
        computes_in_integers=False,
    ),
    "aoti": BuiltIn(
        module="qatrix.pipelines.runtimes.aoti",
        about="AOTInductor: compiled ahead of time, packaged, loaded",
        presets=_ALL,
        # Inductor has integer kernels for convolutions and linear layers, which it finds by itself; what else is
        # quantized, as additions and pools are, it computes in floating point, in one loop with what is around it.
        computes_in_integers=False,
    ),
    "recorded": BuiltIn(
        module="qatrix.pipelines.runtimes.recorded",
        about="what a device elsewhere gave, recorded in a file",
        presets=_ALL,
        computes_in_integers=False,
        file="outputs",
    ),
}
