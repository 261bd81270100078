"""The float model as a graph of its layers, for who wants to look inside."""

from __future__ import annotations

from torch import fx, nn
from torch.ao.quantization.fx.tracer import QuantizationTracer

from qatrix.pipelines.late_code import unwritten


def float_trace(model: nn.Module) -> fx.GraphModule:
    """The model's forward as FX quantization sees it: modules of torch.nn are calls, their names the model's own.

    The modules are shared with the model, and so is their state. Raises what symbolic tracing raises.
    """
    tracer = QuantizationTracer([], [])
    # A third of the time, and nobody asks for them.
    tracer.record_stack_traces = False
    return unwritten(fx.GraphModule, model, tracer.trace(model))
