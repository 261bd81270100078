"""The cases that faults are planted into, each as it is without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from mutants.faults.fault import Fault
from mutants.planting import Kept, Survey, Tap, tapped
from qatrix.claims import DEFAULT_PIPELINES
from qatrix.declare.load import load
from qatrix.declare.selection import Selection, select
from qatrix.declare.spec import Case
from qatrix.execute.captures import Captures
from qatrix.execute.case import run_case
from qatrix.execute.passes import set_training
from qatrix.execute.recording import Store, record, tensor_nodes
from qatrix.judge.diagnosis import Probe, layout_of
from qatrix.judge.diagnosis.layout import Layout
from qatrix.outcomes import Record
from qatrix.pipelines import PIPELINES, Pipeline
from qatrix.pipelines.batches import build_inputs
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.tracing import float_trace
from qatrix.resources import folder

# Both pipelines ran and agree, and every check holds.
_SOUND: Final = frozenset({"exact", "close"})
_SHIPPED: Final = ("conv_kinds.yaml", "quantizers.yaml", "devices.yaml")
MATRIX: Final = Path(__file__).with_name("matrix.yaml")


class Unsound(Exception):
    """A case that is not as it should be even without a fault."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A case, what became of it without a fault, and which faults each pipeline has room for, at which layers."""

    case: Case
    inputs: Inputs
    layout: Layout
    record: Record
    layers: Mapping[str, Mapping[str, tuple[str, ...]]]
    kin: Mapping[str, frozenset[str]]
    kept: Mapping[str, Kept]
    captures: Captures

    def planted(self, taps: Mapping[str, Sequence[Tap]], *, diagnose: bool) -> Record:
        """What becomes of the case with these taps in its pipelines."""
        pipelines = tapped(_pipelines(), taps)
        return run_case(self.case, pipelines, captures=self.captures, diagnose="differences" if diagnose else "never")


def cases(*globs: str) -> tuple[Case, ...]:
    """The declared cases, in their order."""
    shipped = folder("matrix")
    loaded = load([*(shipped / name for name in _SHIPPED), MATRIX], allowed_modules=("mutants",))
    assert loaded.matrix is not None, loaded.problems
    return select(loaded.matrix, Selection(cases=globs)).cases


def subject_of(case: Case, faults: Sequence[Fault]) -> Subject:
    """A case as it is without a fault; raises Unsound where something is wrong with it even so."""
    inputs = build_inputs(case)
    layout, captures = _layout(case, inputs), Captures()
    surveys = {name: Survey(layout, faults) for name in _pipelines()}
    kept = {name: Kept(whole=True) for name in _pipelines()}
    pipelines = tapped(_pipelines(), {name: (surveys[name], kept[name]) for name in surveys})
    found = run_case(case, pipelines, captures=captures, diagnose="never")
    if found.verdict not in _SOUND:
        msg = f"{case.case_id} is {found.verdict} without a fault: {found.summary}"
        raise Unsound(msg)
    kin: dict[str, frozenset[str]] = {}
    for survey in surveys.values():
        for layer, names in survey.kin.items():
            kin[layer] = kin.get(layer, frozenset()) | names
    return Subject(
        case=case,
        inputs=inputs,
        layout=layout,
        record=found,
        layers={name: survey.layers for name, survey in surveys.items()},
        kin=kin,
        kept=kept,
        captures=captures,
    )


def _pipelines() -> Mapping[str, Pipeline]:
    return {name: PIPELINES[name] for name in DEFAULT_PIPELINES}


def _layout(case: Case, inputs: Inputs) -> Layout:
    """The layers of the float model."""
    model = build_model(case)
    set_training(model, case.quantizer.mode == "qat")
    traced = float_trace(model)
    probes = [Probe(node=node.name) for node in traced.graph.nodes if node.op != "output"]
    store = Store()
    try:
        with torch.no_grad():
            _, values = record(traced, inputs, probes, store)
        held = tensor_nodes({probe.node: give() for probe, give in values.kept.items()})
    finally:
        store.close()
    return layout_of(traced.graph, held)
