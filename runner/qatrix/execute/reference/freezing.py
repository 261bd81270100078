"""One pipeline's side of a case, run once more and frozen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from qatrix.declare.digest import case_digests
from qatrix.declare.spec import Case
from qatrix.execute.arbitration import Arbiter, Arbitration, integers_of
from qatrix.execute.devices import on_its_device
from qatrix.execute.quality import trains
from qatrix.execute.reference.file import digest_of_float_model, digest_of_inputs, digest_of_weights
from qatrix.execute.reference.frozen import FrozenCase, FrozenParameters
from qatrix.execute.reference.tensors import Unwritable, digest, tree_of
from qatrix.execute.sight import Onlooker, Sight, float_reference, with_counts
from qatrix.execute.soundness import computes_in_integers
from qatrix.execute.stages import run_stages
from qatrix.execute.survival import checks_of_lifecycle
from qatrix.judge.graphs.identity import graph_digest
from qatrix.outcomes import LOWERED, PipelineOutcome, Record
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.batches import build_batches
from qatrix.pipelines.models import build_model


class Unfrozen(Exception):
    """A case that cannot be frozen; the message says why."""


class Differs(Unfrozen):
    """A case that did not give what the run recorded."""


def freeze_case(case: Case, record: Record, pipeline: str) -> tuple[FrozenCase, dict[str, Tensor]]:
    """A pipeline's side of a case and the tensors that it names. Raises Unfrozen.

    The pipeline runs once more; what it gives must be what the record says, to the bit.
    """
    _demand_a_side(record, pipeline)
    case = on_its_device(case)
    batches = build_batches(case)
    model = build_model(case).to(case.device.torch)
    arbiter = Arbiter.of(case, model, batches.first, trains=trains(case))
    expected, state = float_reference(case, model, batches)
    arbitration = Arbitration(
        pipeline,
        arbiter,
        state,
        integers_of(PIPELINES[pipeline], case.quantizer),
        case.training,
        in_integers=computes_in_integers(case, pipeline),
    )
    sight = Sight()
    watcher = _Watcher(onlooker=Onlooker(case, pipeline, batches.first, sight, state, arbitration))
    ended = run_stages(case, pipeline, PIPELINES[pipeline], batches, watcher, run=arbitration.run)
    outcome = with_counts(ended, sight, expected)
    sight.checks += checks_of_lifecycle(case, outcome, PIPELINES[pipeline], batches, (sight, state))
    difference = _difference(outcome, record.pipelines[pipeline])
    if difference is not None:
        raise Differs(difference)
    tensors = watcher.tensors
    try:
        outputs = {point: tree_of(output, tensors) for point, output in sight.outputs.items()}
    except Unwritable as error:
        raise Unfrozen(str(error)) from error
    frozen = FrozenCase(
        case_id=case.case_id,
        declaration=case_digests([case])[case.case_id],
        seed=case.seed,
        inputs=digest_of_inputs(batches),
        weights=digest_of_weights(case),
        float_model=digest_of_float_model(case, batches, expected),
        # How long it took then says nothing about now.
        outcome=replace(outcome, stages=()),
        outputs=outputs,
        steps={point: tuple(steps) for point, steps in sight.steps.items()},
        checks=tuple(sight.checks),
        graphs=watcher.graphs,
        parameters=tuple(watcher.parameters),
    )
    return frozen, tensors


def _demand_a_side(record: Record, pipeline: str) -> None:
    outcome = record.pipelines.get(pipeline)
    if outcome is None:
        msg = f"it is {record.verdict}, and {pipeline} has no side of it: {record.reason or record.summary}"
        raise Unfrozen(msg)
    if outcome.status in {"unavailable", "not_declared"}:
        msg = f"{pipeline} has no side of it: {outcome.reason or outcome.status}"
        raise Unfrozen(msg)


def _difference(found: PipelineOutcome, recorded: PipelineOutcome) -> str | None:
    """What is other than the run recorded; stages' times and the text of a traceback do not count."""
    for name in (
        "status",
        "failed_stage",
        "sqnr_db",
        "variation_db",
        "fake_quantizes",
        "quantize_ops",
        "dequantize_ops",
        "integer_ops",
    ):
        one, other = getattr(recorded, name), getattr(found, name)
        if one != other:
            return f"run again it has {name} {other}, but the run recorded {one}"
    return None


@dataclass
class _Watcher:
    """Sees the program as an onlooker does, and notes its graphs and quantization parameters."""

    onlooker: Onlooker
    graphs: dict[str, str] = field(default_factory=dict)
    parameters: list[FrozenParameters] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, point: str, program: nn.Module, outputs: object) -> None:
        if point == "prepare":
            self.parameters += self._parameters(program)
        # What is lowered is the converted program.
        if point != LOWERED and (found := graph_digest(program)) is not None:
            self.graphs[point] = found
        self.onlooker(point, program, outputs)

    def _parameters(self, program: nn.Module) -> Iterator[FrozenParameters]:
        for name, module in program.named_modules():
            if not hasattr(module, "calculate_qparams") or not hasattr(module, "dtype"):
                continue
            scale, zero_point = _calculated(module)
            yield FrozenParameters(
                module=name,
                type=type(module).__name__,
                dtype=_text(module.dtype),
                qscheme=_text(getattr(module, "qscheme", None)),
                quant_min=getattr(module, "quant_min", None),
                quant_max=getattr(module, "quant_max", None),
                scale=self._kept(scale),
                zero_point=self._kept(zero_point),
            )

    def _kept(self, value: object) -> str | None:
        if not isinstance(value, Tensor):
            return None
        name = digest(value)
        self.tensors.setdefault(name, value.detach().cpu().clone().contiguous())
        return name


def _calculated(module: Any) -> tuple[Tensor | None, Tensor | None]:
    """Scale and zero point as an observer has them now; nothing of one that calculates none, such as a placeholder."""
    try:
        scale, zero_point, *_ = module.calculate_qparams()
    except Exception:  # noqa: BLE001 - an observer that has seen nothing, or that never calculates, says so in many ways
        return None, None
    return scale, zero_point


def _text(value: object) -> str | None:
    return str(value).removeprefix("torch.") if isinstance(value, (torch.dtype, torch.qscheme)) else None
