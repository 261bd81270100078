"""A case's programs, run as they always are, with an arbiter who watches."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from qatrix.claims import AS_SPECIFIED
from qatrix.declare.spec import Case, QuantizerSpec, Training
from qatrix.diagnoses import GraphText
from qatrix.execute import isolation
from qatrix.execute.captures import Captures, captured_of
from qatrix.execute.passes import FORWARD_SEED, set_training
from qatrix.execute.recording import holds_tensors
from qatrix.execute.state import State
from qatrix.execute.training import Trained
from qatrix.judge import graphs
from qatrix.judge.arbiter import Averages, Deviation, FloatModel, Integers, Point, Specified, Witness, in_double
from qatrix.judge.diagnosis import graph_lines, layout_of, place
from qatrix.judge.diagnosis.parameters import plain
from qatrix.outcomes import CheckOutcome
from qatrix.pipelines import Pipeline
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.torchenv import seed_generators
from qatrix.pipelines.tracing import float_trace
from qatrix.text import told

# Where a program is arbitrated; a layer's rounding in a narrower dtype is no smaller than a step.
_DTYPE: Final = "float32"
# Their copy in float64 is twice as large: a worker with vgg11, of 133 million, outgrew its memory.
_MOST_PARAMETERS: Final = 100_000_000
# More are not kept for the next case: a copy of so many takes 16 MB.
_MOST_KEPT: Final = 2_000_000
# What captures are kept under that no pipeline makes.
_ARBITER: Final = "arbiter"
# What a program gave that did not run.
_NONE: Final = object()
# What is not judged where integer arithmetic stands in the place of quantize and dequantize ops.
_CONVERTED: Final = "the converted program, because it computes in integers"
# The graph of a larger program is not kept: a node takes about 100 bytes, and `show --graphs` draws it.
_MOST_NODES: Final = 1000
# Findings that a message spells out; the rest it counts.
_TOLD: Final = 3


@dataclass
class Arbiter:
    """A case's float model in float64, in the mode of each point, for all its pipelines one after the other."""

    model: nn.Module
    prepare: FloatModel
    convert: FloatModel
    trains: bool
    _fresh: Mapping[str, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        # Not state_dict(), which leaves out buffers that are not persistent.
        self._fresh = {name: value.detach().clone() for name, value in self._tensors()}

    @classmethod
    def of(
        cls,
        case: Case,
        model: nn.Module,
        inputs: Inputs,
        *,
        trains: bool,
        captures: Captures | None = None,
    ) -> Arbiter | str:
        """The arbiter of a case, or the reason why it has none; `model` is its float model, and is left as it is.

        `captures` has those of earlier cases, which is fit for this one: `begin` undoes what was done with it.
        """
        if case.quantizer.phases:
            return "its phases quantize parts of the model"
        if case.calibration_batches == 0:
            return "nothing calibrates its observers"
        if case.dtype != _DTYPE:
            return f"its model is of {case.dtype}"
        parameters = sum(item.numel() for item in model.parameters())
        if parameters > _MOST_PARAMETERS:
            return f"its model has more than {_MOST_PARAMETERS:,} parameters"
        if parameters > _MOST_KEPT:
            return cls._made(model, inputs, trains=trains)
        key = captured_of(case, _ARBITER, path="", training=trains, dynamic_batch=False)
        return (captures or Captures()).get(key, lambda: cls._made(model, inputs, trains=trains))

    @classmethod
    def _made(cls, model: nn.Module, inputs: Inputs, *, trains: bool) -> Arbiter | str:
        try:
            exact = copy.deepcopy(model).double().requires_grad_(requires_grad=False)
            prepare = _float_model(exact, inputs, training=trains)
            convert = _float_model(exact, inputs, training=False) if trains else prepare
        except BaseException as error:  # noqa: BLE001 - not every model can be traced, or runs in float64
            isolation.let_ctrl_c_through(error)
            return f"its float model cannot be followed in float64: {told(error)}"
        return cls(model=exact, prepare=prepare, convert=convert, trains=trains)

    def begin(self) -> None:
        """Forget what an earlier pipeline's forward and training made of the model."""
        with torch.no_grad():
            for name, value in self._tensors():
                value.copy_(self._fresh[name])
        self.prepare.moved.clear()
        self.convert.stale = frozenset()

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        return itertools.chain(self.model.named_parameters(), self.model.named_buffers())

    def observe(self) -> None:
        """A pipeline's prepared program has run: the batch norms that did not show are not known any more."""
        if self.trains:
            self.convert.stale = self.convert.norm_paths() - self.prepare.moved

    def train(self, trained: Trained) -> None:
        """Take over what training made of a pipeline's parameters and statistics."""
        known = self.model.state_dict()
        given = {**trained.parameters, **trained.statistics}
        self.model.load_state_dict(
            {name: value.double() for name, value in given.items() if name in known}, strict=False
        )
        self.convert.stale = frozenset()


def integers_of(pipeline: Pipeline, quantizer: QuantizerSpec) -> frozenset[Integers]:
    """The integers that a quantizer has for tensors in a pipeline; empty where that is not known."""
    if quantizer.phases or pipeline.missing() is not None or pipeline.inexpressible(quantizer) is not None:
        return frozenset()
    try:
        known = pipeline.integers(quantizer)
    except Exception:  # noqa: BLE001 - a quantizer that cannot be made here is told by the stage that makes it
        return frozenset()
    return frozenset(Integers(plain(dtype), low, high) for dtype, low, high in known)


def _float_model(model: nn.Module, inputs: Inputs, *, training: bool) -> FloatModel:
    set_training(model, training)
    traced = float_trace(model)
    survey = _Survey(traced)
    before = graphs.state_of(model)
    with torch.no_grad():
        survey.run(*inputs.map(in_double).in_order(traced))
    graphs.restore_state(model, before)
    return FloatModel(program=traced, layout=layout_of(traced.graph, survey.tensors), values=survey.values)


class _Survey(fx.Interpreter):
    """Runs the float model's graph: which nodes have tensors, and the values of the others and of constants."""

    def __init__(self, program: fx.GraphModule) -> None:
        super().__init__(program)
        self.tensors: set[str] = set()
        self.values: dict[str, object] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The node's value, kept where it is no tensor that the model computes."""
        value = super().run_node(n)
        if holds_tensors(value):
            self.tensors.add(n.name)
        if n.op == "get_attr" or n.name not in self.tensors:
            self.values[n.name] = value
        return value


@dataclass
class Arbitration:
    """One pipeline's run, watched: what of it does not do what its specification says."""

    pipeline: str
    arbiter: Arbiter | str
    state: State
    allowed: frozenset[Integers] = frozenset()
    training: Training | None = None
    in_integers: bool = False
    deviations: list[Deviation] = field(default_factory=list)
    _specified: Specified | None = None
    _prepared: Witness | None = None
    _averages: Averages | None = None

    def run(self, program: nn.Module, inputs: Inputs) -> object:
        """The outputs of a program as it gives them by itself, to the bit."""
        if isinstance(self.arbiter, str) or not isinstance(program, fx.GraphModule) or self._is_beyond_sight():
            return self.state.run(program, inputs)
        outputs = self._watched(self.arbiter, program, inputs)
        # A program that does not run is told by its own run; one that did is not run twice, since observers would
        # see everything once more.
        return self.state.run(program, inputs) if outputs is _NONE else outputs

    def _watched(self, arbiter: Arbiter, program: fx.GraphModule, inputs: Inputs) -> object:
        at: Point = "prepare" if self._prepared is None else "convert"
        outputs: object = _NONE
        try:
            witness = self._witness(arbiter, at, program)
            graphs.restore_state(program, self.state.before)
            seed_generators(FORWARD_SEED)
            outputs = _Watched(program, witness).run(*inputs.copies().in_order(program))
            self.deviations += witness.deviations()
            self._prepared = witness
        except BaseException as error:  # noqa: BLE001 - whatever a program raises is its own
            isolation.let_ctrl_c_through(error)
            self.arbiter = f"its program after {at} cannot be followed: {told(error)}"
        return outputs

    def _is_beyond_sight(self) -> bool:
        """Whether what runs next is a converted program that computes in integers, layer by layer in another way."""
        return self.in_integers and self._prepared is not None

    def _witness(self, arbiter: Arbiter, at: Point, program: fx.GraphModule) -> Witness:
        if at == "prepare":
            arbiter.begin()
            set_training(arbiter.model, arbiter.trains)
            placement = place(arbiter.prepare.layout, program)
            return Witness(at, arbiter.prepare, program, placement, allowed=self.allowed)
        set_training(arbiter.model, False)
        return Witness(at, arbiter.convert, program, place(arbiter.convert.layout, program), self._specified)

    def observe(self, point: str, outputs: object) -> None:
        """Take down what the observers say once the prepared program has run, on all batches, and been trained."""
        if self._averages is not None and point in {"evaluating", "evaluated"}:
            self._averages.paused = point == "evaluating"
        if isinstance(self.arbiter, str) or self._prepared is None or point not in {"prepare", "calibrate", "train"}:
            return
        if isinstance(outputs, Trained):
            self.arbiter.train(outputs)
            faults = () if self._averages is None else tuple(self._averages.faults())
            # Before the steps, observers are on even where the steps have them off, so that other averages hold.
            self.deviations += [Deviation("train", *fault) for fault in faults if point == "train"]
        else:
            self.arbiter.observe()
        if self.training is not None and point != "train":
            enabled = self.training.observers == "enabled"
            self._averages = Averages.of(self._prepared.program, self._prepared.placement, enabled=enabled)
        self._specified = self._prepared.specified(anew=point != "prepare")

    def graph(self) -> GraphText | None:
        """The converted program as text, each line with its layer; None where it was not followed, or is too large."""
        witness = self._prepared
        if isinstance(self.arbiter, str) or witness is None or witness.at != "convert":
            return None
        if len(witness.program.graph.nodes) > _MOST_NODES:
            return None
        lines = graph_lines(witness.program, self.arbiter.convert.layout, witness.placement)
        return GraphText(pipeline=self.pipeline, lines=lines)

    def check(self) -> CheckOutcome | None:
        """The check, None where nothing could be held against the specification."""
        if isinstance(self.arbiter, str) or self._prepared is None:
            return None
        if self._prepared.at != "convert" and not self.in_integers:
            return None
        if self.deviations:
            message = "; ".join(_told(self.deviations))
            return CheckOutcome(name=AS_SPECIFIED, pipeline=self.pipeline, status="failed", message=message)
        unjudged = self._prepared.unjudged()
        if len(unjudged) == len(self._prepared.layers()):
            return None
        shown = ", ".join(unjudged[:_TOLD]) + (f" and {len(unjudged) - _TOLD} more" if len(unjudged) > _TOLD else "")
        silent = [_CONVERTED] if self.in_integers else []
        silent += [shown] if unjudged else []
        note = f"it says nothing of {' and of '.join(silent)}" if silent else None
        return CheckOutcome(name=AS_SPECIFIED, pipeline=self.pipeline, status="passed", message=note)


def _told(deviations: list[Deviation]) -> Iterator[str]:
    for found in deviations[:_TOLD]:
        yield f"{found.layer} after {found.at}: {found.sentence}"
    if len(deviations) > _TOLD:
        yield f"{len(deviations) - _TOLD} more"


class _Watched(fx.Interpreter):
    """Runs a program node by node, and tells the witness of each."""

    def __init__(self, program: fx.GraphModule, witness: Witness) -> None:
        super().__init__(program)
        self._witness = witness

    def run_node(self, n: fx.Node) -> Any:
        """The node's value."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        with torch.no_grad():
            self._witness.before(n, args, kwargs)
        value = super().run_node(n)
        with torch.no_grad():
            self._witness.after(n, args, value)
        return value
