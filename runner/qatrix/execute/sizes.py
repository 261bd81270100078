"""Whether a converted model runs on inputs of other sizes than those that it was captured with."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from torch import nn

from qatrix.claims import OTHER_SIZE
from qatrix.declare.spec import Case
from qatrix.execute import isolation, quality
from qatrix.execute.passes import kept
from qatrix.execute.soundness import outcome_of
from qatrix.execute.state import Larger, State
from qatrix.judge import graphs, numerics
from qatrix.outcomes import CheckOutcome
from qatrix.pipelines.inputs import Inputs
from qatrix.text import told

# Twice the noise, in decibels: the same values once more are rounded alike.
_TWICE: Final = 3.0


def with_larger(state: State, model: nn.Module, inputs: Inputs, outputs: object) -> State:
    """The state, with the float model's outputs at twice the lengths of the free axes, if there are any.

    Raises ValueError where the float model itself does not run there.
    """
    if not inputs.free:
        return state
    larger = inputs.larger()
    try:
        found = kept(state.run(model, larger))
    except Exception as error:
        msg = (
            f"dynamic: the float model fails at {_sizes(larger)}, twice the declared lengths: {told(error)};"
            " name axes along which it runs at other lengths, or declare shorter inputs"
        )
        raise ValueError(msg) from error
    return replace(state, larger=Larger(inputs=larger, outputs=found, declared=outputs))


def of_other_size(case: Case, pipeline: str, program: nn.Module, state: State, outputs: object) -> list[CheckOutcome]:
    """The check of a converted program at twice the lengths of the free axes; none where there are none.

    `outputs` are what it gave at the declared ones.
    """
    if state.larger is None:
        return []
    where = _sizes(state.larger.inputs)
    try:
        found = kept(state.run(program, state.larger.inputs))
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the answer
        isolation.let_ctrl_c_through(error)
        return [outcome_of(OTHER_SIZE, pipeline, [f"it fails at {where}: {told(error)}"])]
    fault = _fault(case, pipeline, program, state.larger, (outputs, found))
    return [outcome_of(OTHER_SIZE, pipeline, [] if fault is None else [f"at {where} {fault}"])]


def _fault(case: Case, pipeline: str, program: nn.Module, larger: Larger, outputs: tuple[object, object]) -> str | None:
    """What is wrong with a program's outputs at the larger size, beside those at the declared one."""
    declared, found = outputs
    compared = numerics.compare(
        larger.outputs, found, at="convert", names=("float", pipeline), tolerance=case.tolerance
    )
    if compared.message is not None:
        return f"its outputs are not like the float model's: {compared.message}"
    ops = graphs.count_ops(program)
    least = quality.explained_by_bits(case, pipeline, ops.quantize + ops.dequantize)
    here, there = numerics.sqnr_db(larger.outputs, found)[0], numerics.sqnr_db(larger.declared, declared)[0]
    if least is None or here is None or there is None or here >= min(least, there - _TWICE):
        return None
    return (
        f"its SQNR is {here:.1f} dB, but {there:.1f} dB at the declared size;"
        f" the bits of weights and activations explain {least:.1f} dB"
    )


def _sizes(inputs: Inputs) -> str:
    return ", ".join(f"{name} {length}" for name, length in inputs.sizes().items())
