"""One case through one pipeline, for the check that its graph makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import fx, nn

from qatrix.claims import CheckPoint, GraphCheck, Transcript
from qatrix.declare.expand import check_values
from qatrix.declare.language import Text, parse_graph
from qatrix.declare.spec import Case
from qatrix.execute.stages import run_stages
from qatrix.expressions import Value
from qatrix.judge import graphs
from qatrix.outcomes import PipelineOutcome
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.torchenv import device_missing


class Untranscribed(Exception):
    """A case of which there is no graph to make a check from; the message says why."""


def transcribe_case(case: Case, pipeline: str, at: CheckPoint, *, values: bool) -> Transcript:
    """What a pipeline's graph of a case claims, with the numbers of scales and zero points if `values`.

    The case runs once, and the check holds of the graph that it was made from. Raises Untranscribed.
    """
    absent = case.skip or device_missing(case.device.torch)
    if absent is not None:
        raise Untranscribed(absent)
    watcher = _Watcher(case=case, pipeline=pipeline, at=at, values=values)
    outcome = run_stages(case, pipeline, PIPELINES[pipeline], build_batches(case), watcher)
    if watcher.found is None:
        raise Untranscribed(_cut_short(outcome, at))
    return watcher.found


@dataclass(kw_only=True)
class _Watcher:
    """Writes down the program at a point, before a later stage changes it in place."""

    case: Case
    pipeline: str
    at: CheckPoint
    values: bool
    found: Transcript | None = None

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        """See the program; its outputs say nothing of its graph."""
        del outputs
        if point != self.at:
            return
        if not isinstance(program, fx.GraphModule):
            msg = f"the program is a {type(program).__name__} and has no graph to write a check of"
            raise Untranscribed(msg)
        known = check_values(self.case.params, self.case.axes, self.case.quantizer)
        transcript = graphs.transcribe(program, taken=known, values=self.values)
        fault = graphs.run_check(self._check(transcript, known), program, self.pipeline).message
        if fault is not None:
            msg = f"the check that its graph makes does not hold of this very graph: {fault}"
            raise Untranscribed(msg)
        self.found = transcript

    def _check(self, transcript: Transcript, known: Mapping[str, Value]) -> GraphCheck:
        """The transcript as YAML would be read."""
        texts = [Text(text=line, source=self.case.source) for line in transcript.graph]
        graph, problems = parse_graph(texts, values=known)
        if graph is None:
            msg = f"the check that its graph makes cannot be read: {problems[0].message}"
            raise Untranscribed(msg)
        return GraphCheck(
            name="transcript",
            about="",
            at=self.at,
            pipelines=(self.pipeline,),
            graph=graph,
            counts=transcript.counts,
            order=transcript.order,
            scope=known,
            source=self.case.source,
        )


def _cut_short(outcome: PipelineOutcome, at: str) -> str:
    """Why a pipeline has no graph of a case at a point."""
    if outcome.status == "failed":
        what = "" if outcome.error is None else f": {outcome.error.type}: {outcome.error.message}"
        return f"{outcome.pipeline} failed at {outcome.failed_stage}, before it had a graph after {at}{what}"
    return f"{outcome.pipeline} has no graph after {at}: {outcome.reason or outcome.status}"
