"""Why a runtime is off its reference: the first op that is, and the causes that its values show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, fx

from qatrix.execute import isolation
from qatrix.execute.bisecting import Bisected, converted_by_fx, departure, unchanged
from qatrix.execute.deployment import Deployed
from qatrix.execute.recording import Store, record
from qatrix.judge.diagnosis.placement import Probe
from qatrix.judge.lowering import DepartureFacts, causes
from qatrix.judge.lowering.reading import InFloat64, last_computed, output_range, product_of
from qatrix.judge.shown import Shown
from qatrix.lowerings import Lowering
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import cpu_features
from qatrix.text import told


def explained(lowering: Lowering, deployed: Deployed, pipeline: str) -> Lowering:
    """The lowering with the first departure from its reference and its causes, or a note why there is none.

    Raises nothing but Ctrl-C.
    """
    prepared = deployed.use.takes == "prepared"
    reference = converted_by_fx(deployed.program.quantizer) if prepared else unchanged
    with torch.no_grad():
        # A part is of no case, so that what was recorded of one is not asked for.
        program = replace(deployed.program, case_id="")
        found = departure(deployed.lower, program, reference=reference, outputs=deployed.outputs)
        if found.first is None or found.shown is None:
            return replace(lowering, notes=(*lowering.notes, *found.notes))
        notes = [*lowering.notes, *found.notes]
        try:
            shown = reference(found.shown.module)
            because = causes(_facts(lowering, found, shown, pipeline))
        except BaseException as error:  # noqa: BLE001 - causes that cannot be looked for must not end the case
            isolation.let_ctrl_c_through(error)
            because = ()
            notes.append(f"no cause was looked for: {told(error)}")
    return replace(lowering, first=found.first, causes=because, notes=tuple(notes))


def _facts(lowering: Lowering, found: Bisected, program: fx.GraphModule, pipeline: str) -> DepartureFacts:
    """What is known of the op that departs; `program` is that op by itself, as the reference has it."""
    first, shown = found.first, found.shown
    assert first is not None
    assert shown is not None
    low, high = output_range(program)
    return DepartureFacts(
        departure=first,
        pipeline=pipeline,
        runtime=lowering.runtime,
        reference=shown.reference,
        measured=shown.lowered,
        scale=shown.scale,
        zero_point=shown.zero_point or 0,
        quant_min=low,
        quant_max=high,
        product=product_of(program, _values(program, shown)),
        exact=_exact(program, shown),
        options=lowering.options,
        cpu=cpu_features(),
        each_agrees=shown.each_agrees,
        ran=lowering.ran,
    )


def _values(program: fx.GraphModule, shown: Shown) -> Mapping[str, object]:
    """The values of a program's nodes, by name."""
    probes = [Probe(node=node.name) for node in program.graph.nodes if node.op != "output"]
    store = Store()
    try:
        _, recorded = record(program, Inputs(shown.inputs), probes, store)
        return {probe.node: recorded.get(probe) for probe in probes}
    finally:
        store.close()


def _exact(program: fx.GraphModule, shown: Shown) -> Tensor | None:
    """What the program computes in float64, before its output is quantized; None where some op of it cannot."""
    last = last_computed(program)
    if last is None:
        return None
    inside = InFloat64(program)
    try:
        inside.run(*Inputs(shown.inputs).in_order(program))
    except (RuntimeError, NotImplementedError, TypeError, AssertionError):
        return None
    value = inside.env[last]
    return value if isinstance(value, Tensor) else None
