"""QConfigs of FX graph mode's that are spelled out, as source."""

from __future__ import annotations

from typing import Final

from qatrix.declare.source.observers import constructor_call, range_arguments
from qatrix.declare.source.text import call_text
from qatrix.declare.spec import QConfigSpec, QuantizerSpec, TensorSpec

# The counterpart of the table in pipelines.backend.
DTYPES: Final = {"uint8": "quint8", "int8": "qint8", "int32": "qint32"}
_SPACE: Final = "torch.ao.quantization."


def qconfig_text(spec: QConfigSpec, quantizer: QuantizerSpec, *, prefix: str = "") -> str:
    """The call that makes a QConfig of its specs."""
    tensors = (("activation", spec.activation), ("weight", spec.weight))
    arguments = [f"{name}={_made(tensor, quantizer)}" for name, tensor in tensors]
    return call_text("QConfig", arguments, prefix=prefix)


def _made(tensor: TensorSpec | None, quantizer: QuantizerSpec) -> str:
    if tensor is None:
        return f"{_SPACE}NoopObserver"
    mode = quantizer.mode_of(tensor)
    dynamic = ["is_dynamic=True"] if mode == "dynamic" or tensor.dynamic else []
    ranges = (*range_arguments(tensor, DTYPES[tensor.dtype]), *dynamic)
    function, arguments = constructor_call(tensor, mode, space=_SPACE, ranges=ranges)
    return call_text(function, arguments, indent=4)
