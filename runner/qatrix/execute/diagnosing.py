"""A case once more through two pipelines, with the values inside recorded: why do they differ?"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import fx, nn

from qatrix.declare.spec import Case
from qatrix.diagnoses import Diagnosis, GraphText, PointDiagnosis
from qatrix.execute import isolation
from qatrix.execute.captures import Captures
from qatrix.execute.passes import forward, set_training
from qatrix.execute.recording import Recorded, Store, record, tensor_nodes
from qatrix.execute.soundness import computes_in_integers
from qatrix.execute.stages import run_stages
from qatrix.execute.training import train_float
from qatrix.judge.diagnosis import (
    Layout,
    Probe,
    Sight,
    conclude_diagnosis,
    diagnose_point,
    examine,
    graph_lines,
    layout_of,
    place,
)
from qatrix.outcomes import PipelineOutcome
from qatrix.pipelines import Pipeline, pipelines_of
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.inputs import Batches, Inputs
from qatrix.pipelines.models import build_model
from qatrix.pipelines.tracing import float_trace
from qatrix.text import told

POINTS = ("prepare", "convert")


def diagnose(
    case: Case,
    *,
    pipelines: Mapping[str, Pipeline] | None = None,
    names: tuple[str, str] | None = None,
    captures: Captures | None = None,
) -> Diagnosis:
    """Why two pipelines differ on a case; runs the case through both once more. Raises nothing but Ctrl-C.

    `names` are the two pipelines to compare, the first two of the case unless told otherwise;
    `captures` holds those of the case. What could not be found out is in the notes.
    """
    started = time.perf_counter()
    case = replace(case, runtime=None)
    known = pipelines_of(case) if pipelines is None else pipelines
    left, right = names or _first_two(case, known)
    store = Store()
    try:
        found = _diagnose(case, known, (left, right), store, captures or Captures())
    except BaseException as error:  # noqa: BLE001 - a diagnosis that fails must not end the case that it is about
        isolation.let_ctrl_c_through(error)
        found = Diagnosis(left=left, right=right, notes=(f"no diagnosis: {told(error)}",))
    finally:
        store.close()
    return replace(found, seconds=time.perf_counter() - started)


def draw(case: Case, *, pipelines: Mapping[str, Pipeline] | None = None, captures: Captures | None = None) -> Diagnosis:
    """The graphs of all pipelines of a case, as far as each gets, and no word on why they differ.

    Runs the case once more. Raises nothing but Ctrl-C; what could not be drawn is in the notes.
    """
    case = replace(case, runtime=None)
    known = pipelines_of(case) if pipelines is None else pipelines
    left, right = _first_two(case, known)
    store = Store()
    try:
        points, notes = _drawn(case, known, store, captures or Captures())
    except BaseException as error:  # noqa: BLE001 - whatever is wrong with the case is told as a note
        isolation.let_ctrl_c_through(error)
        points, notes = (), [f"no graphs: {told(error)}"]
    finally:
        store.close()
    return Diagnosis(left=left, right=right, points=points, notes=tuple(notes))


def _drawn(
    case: Case, known: Mapping[str, Pipeline], store: Store, captures: Captures
) -> tuple[tuple[PointDiagnosis, ...], list[str]]:
    batches = build_batches(case)
    layout, notes = _layout(case, batches.first, store)
    artists = [_Artist(name, layout, notes) for name in known if name in case.pipelines]
    for artist in artists:
        name = artist.pipeline
        outcome = run_stages(case, name, known[name], batches, artist.observe, captures=captures)
        notes += _cut_short(outcome)
    graphs = {at: tuple(artist.graphs[at] for artist in artists if at in artist.graphs) for at in POINTS}
    return tuple(PointDiagnosis(at=at, graphs=found) for at, found in graphs.items() if found), notes


@dataclass
class _Artist:
    """Draws one pipeline's program at each point, before a later stage changes it in place."""

    pipeline: str
    layout: Layout
    notes: list[str]
    graphs: dict[str, GraphText] = field(default_factory=dict)

    def observe(self, point: str, program: nn.Module, outputs: object) -> None:  # noqa: ARG002 - an observer's
        """Keep the program's graph as text."""
        if point not in POINTS:
            return
        if not isinstance(program, fx.GraphModule):
            self.notes.append(_without_graph(self.pipeline, point))
            return
        lines = graph_lines(program, self.layout, place(self.layout, program))
        self.graphs[point] = GraphText(pipeline=self.pipeline, lines=lines)


def _layout(case: Case, inputs: Inputs, store: Store) -> tuple[Layout, list[str]]:
    """The layers of the float model; none, and a note, where it cannot be traced, which PT2E does not need."""
    model = build_model(case).to(case.device.torch)
    set_training(model, False)
    try:
        with torch.no_grad():
            _, values, traced = _run_float(model, inputs, store)
    except BaseException as error:  # noqa: BLE001 - whatever the model does to a tracer
        isolation.let_ctrl_c_through(error)
        untraced = f"the lines name no layers, because the float model cannot be traced: {told(error)}"
        return Layout(sites={}, outputs=()), [untraced]
    return _layout_of(traced, values), []


def _layout_of(traced: fx.GraphModule, values: Recorded) -> Layout:
    return layout_of(traced.graph, tensor_nodes({probe.node: load() for probe, load in values.kept.items()}))


def _without_graph(pipeline: str, point: str) -> str:
    return f"the program of {pipeline} at {point} has no graph to look into"


def _cut_short(outcome: PipelineOutcome) -> list[str]:
    """A word on a pipeline that did not run to its end."""
    if outcome.status == "ok":
        return []
    error = outcome.error.message if outcome.error else outcome.reason
    at = f" at {outcome.failed_stage}" if outcome.failed_stage else ""
    return [f"{outcome.pipeline} did not run to its end: {outcome.status}{at}: {error}"]


def _first_two(case: Case, known: Mapping[str, Pipeline]) -> tuple[str, str]:
    left, right, *_ = [*(name for name in known if name in case.pipelines), "", ""]
    return left, right


def _diagnose(
    case: Case, known: Mapping[str, Pipeline], names: tuple[str, str], store: Store, captures: Captures
) -> Diagnosis:
    missing = [name for name in names if name not in known]
    if missing:
        return Diagnosis(left=names[0], right=names[1], notes=("there are no two pipelines to compare",))
    batches = build_batches(case)
    reference = _float_reference(case, batches, store)
    notes: list[str] = []
    seen: dict[str, dict[str, Sight]] = {}
    for name in names:
        witness = _Witness(
            name,
            reference.layout,
            store,
            opaque=name in case.own_pipelines,
            in_integers=computes_in_integers(case, name),
        )
        outcome = run_stages(case, name, known[name], batches, witness.observe, captures=captures, run=witness.run)
        seen[name] = witness.sights
        notes += witness.notes
        notes += _cut_short(outcome)
    points = tuple(_points(case, names, seen, reference))
    return conclude_diagnosis(
        names,
        points,
        {at: (seen[names[0]].get(at), seen[names[1]].get(at)) for at in POINTS},
        reference.layout,
        tuple(notes),
        _annotated(case),
    )


def _annotated(case: Case) -> frozenset[str]:
    """The chains that a declared quantizer annotates, in all its phases; none for a preset."""
    return frozenset(name for quantizer in case.quantizer.members for name in quantizer.annotate)


def _points(
    case: Case, names: tuple[str, str], seen: Mapping[str, Mapping[str, Sight]], reference: _Reference
) -> Iterator[PointDiagnosis]:
    for at in POINTS:
        left, right = (seen[name].get(at) for name in names)
        if left is not None and right is not None:
            yield diagnose_point(
                at,
                reference.layout,
                left,
                right,
                reference=functools.partial(reference.value, at),
                output=reference.outputs[at],
                tolerance=case.tolerance,
            )


@dataclass
class _Reference:
    """The float model: its layers, and their values in the state of each point."""

    layout: Layout
    values: dict[str, Recorded] = field(default_factory=dict)
    outputs: dict[str, object] = field(default_factory=dict)

    def value(self, at: str, key: str) -> object:
        """The float model's value of a site in the state of a point."""
        return self.values[at].get(Probe(node=key))


def _float_reference(case: Case, batches: Batches, store: Store) -> _Reference:
    """The float model run as the quantized ones are: in training first where they are trained, then in evaluation."""
    phases = case.quantizer.phases
    trained = any(phase.quantizer.mode == "qat" for phase in phases) if phases else case.quantizer.mode == "qat"
    model = build_model(case).to(case.device.torch)
    set_training(model, trained and batches.calibrates)
    with torch.no_grad():
        outputs, values, traced = _run_float(model, batches.first, store)
        for batch in batches.more if trained else ():
            forward(model, batch)
        reference = _Reference(_layout_of(traced, values), {"prepare": values}, {"prepare": outputs})
        if case.training is not None:
            train_float(case, case.training, model=model, inputs=batches.first)
        set_training(model, False)
        reference.outputs["convert"], reference.values["convert"], _ = _run_float(model, batches.first, store)
    return reference


def _run_float(model: nn.Module, inputs: Inputs, store: Store) -> tuple[object, Recorded, fx.GraphModule]:
    traced = float_trace(model)
    probes = [Probe(node=node.name) for node in traced.graph.nodes if node.op != "output"]
    outputs, values = record(traced, inputs, probes, store)
    return outputs, values, traced


@dataclass
class _Witness:
    """Runs one pipeline's programs with recording, and keeps what is to be known of them at each point."""

    pipeline: str
    layout: Layout
    store: Store
    opaque: bool
    in_integers: bool = False
    sights: dict[str, Sight] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    _last: tuple[nn.Module, Recorded] | None = None

    def run(self, program: nn.Module, inputs: Inputs) -> object:
        """The outputs of a program as `forward` gives them; its values are recorded where it has a graph."""
        if not isinstance(program, fx.GraphModule):
            self._last = None
            return forward(program, inputs)
        outputs, values = record(program, inputs, place(self.layout, program).probes(), self.store)
        self._last = (program, values)
        return outputs

    def observe(self, point: str, program: nn.Module, outputs: object) -> None:
        """Take down what later questions need, before a later stage changes the program in place."""
        if point not in POINTS or outputs is None:
            return
        if point == "convert" and self.in_integers:
            self.notes.append(f"the program of {self.pipeline} at convert is not looked into: it computes in integers")
            return
        if self._last is None or self._last[0] is not program or not isinstance(program, fx.GraphModule):
            self.notes.append(_without_graph(self.pipeline, point))
            return
        placement = place(self.layout, program)
        sight = examine(self.pipeline, program, self.layout, placement, self._last[1], outputs)
        self.sights[point] = replace(sight, opaque=self.opaque)
        if placement.unclaimed:
            shown = ", ".join(itertools.islice(placement.unclaimed, 8))
            count = len(placement.unclaimed)
            belong = "1 node belongs" if count == 1 else f"{count} nodes belong"
            self.notes.append(f"{self.pipeline} at {point}: {belong} to no layer: {shown}")
