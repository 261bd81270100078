"""The checks that are made for every case: two pipelines can agree to the bit and both be wrong.

They are in the record whether they hold or not, but for CONV_BN_FUSED, which is there where it fails:
a model that was captured into another IR than the patterns of the release's QAT fusion is quantized
and not fused, without an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from qatrix.claims import (
    AS_SPECIFIED,
    BATCH_NORM_FOLDED,
    BATCH_NORM_STATE,
    BIASES_QUANTIZED,
    CONV_BN_FUSED,
    DETERMINISTIC_EVAL,
    FLOAT_KEPT,
    NOTHING_QUANTIZED,
    OBSERVED,
    OPS_QUANTIZED,
    OTHER_BATCH,
    PARAMETERS_READ,
    STEADY_EVAL,
    WEIGHT_SCALES,
    WEIGHTS_QUANTIZED,
)
from qatrix.declare.spec import (
    Case,
    Composition,
    FxPreset,
    Part,
    PatternSpec,
    Pt2ePreset,
    QConfigSpec,
    QuantizerSpec,
)
from qatrix.execute import isolation
from qatrix.execute.passes import FORWARD_SEED, kept
from qatrix.execute.recording import Store, record
from qatrix.execute.state import State
from qatrix.judge import graphs, numerics
from qatrix.judge.diagnosis.placement import Probe
from qatrix.outcomes import CheckOutcome
from qatrix.pipelines.inputs import Inputs
from qatrix.pipelines.parts import settings
from qatrix.text import told
from qatrix.ways import preset_of

_STATISTICS: Final = frozenset({"running_mean", "running_var"})
_LINEAR: Final = frozenset({"linear"})
_CONVOLUTIONS: Final = frozenset({"conv", "conv_transpose"})
# Findings that a message spells out; the rest it counts.
_TOLD: Final = 3
NOT_JUDGED: Final = (
    "integer arithmetic replaces quantize and dequantize ops, so the converted program is not checked for "
    f"{BATCH_NORM_FOLDED}, {WEIGHT_SCALES} and {BIASES_QUANTIZED}, and {AS_SPECIFIED} and a diagnosis look only at "
    "the prepared program"
)


def of_prepared(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The checks of a prepared program, after its forward pass; none where unknown code has made it."""
    if pipeline in case.own_pipelines:
        return []
    # Where nothing calibrates, nothing is to be seen.
    runs = case.calibration_batches != 0
    made = [outcome_of(OBSERVED, pipeline, graphs.unobserved(program))] if runs else []
    # What an earlier phase has trained is not fresh any more, and what is filled or loaded never was.
    if runs and not case.quantizer.phases and not _has_statistics(case.pattern):
        moved = graphs.batch_norm_faults(program, training=case.quantizer.mode == "qat")
        made.append(outcome_of(BATCH_NORM_STATE, pipeline, moved))
    left = graphs.unfused_batch_norms(program)
    if left:
        message = (
            f"{', '.join(left)} follows a quantized convolution without being fused with it, "
            "so that what was captured does not match the patterns that this release fuses"
        )
        made.append(CheckOutcome(name=CONV_BN_FUSED, pipeline=pipeline, status="failed", message=message))
    return made


def _has_statistics(pattern: PatternSpec) -> bool:
    """Whether a pattern, or one in it, gives batch norms other statistics than those that they are made with."""
    if pattern.weights is not None:
        return True
    names = {item.path.rpartition(".")[2] for item in pattern.init}
    inner = (layer.pattern for layer in pattern.layers if layer.pattern is not None)
    return bool(names & _STATISTICS) or any(map(_has_statistics, inner))


def of_converted(
    case: Case,
    pipeline: str,
    program: nn.Module,
    *,
    inputs: Inputs,
    outputs: object,
    prepared_weights: int,
    state: State,
) -> list[CheckOutcome]:
    """The checks of a converted program, which is run once more, with another seed.

    `outputs` are what it gave before, `prepared_weights` how many weights were quantized after prepare,
    `state` what the float model keeps.
    """
    before = graphs.state_of(program)
    again = kept(state.run(program, inputs, seed=FORWARD_SEED + 1))
    known = {name for name in before if graphs.is_counter(name)} | state.before.keys()
    changed = [name for name in graphs.changed_state(before, program) if name not in known]
    unsteady = [
        *(f"{name}{graphs.reader_of(program, name)} has changed" for name in changed),
        *state.faults(program, inputs),
    ]
    run = functools.partial(state.run, program)
    # In a program that unknown code has made, layers and weights may have any form.
    own = pipeline in case.own_pipelines
    parts = [] if own else _of_parts(case, pipeline, program, inputs, prepared_weights, state)
    return [
        *parts,
        outcome_of(STEADY_EVAL, pipeline, unsteady),
        outcome_of(
            DETERMINISTIC_EVAL,
            pipeline,
            [*_randomness(program, inputs, outputs, again), *graphs.live_random_ops(program)],
        ),
        *([of_other_batch(case, pipeline, run, inputs, outputs)] if case.dynamic_batch else []),
    ]


def _of_parts(
    case: Case, pipeline: str, program: nn.Module, inputs: Inputs, prepared_weights: int, state: State
) -> list[CheckOutcome]:
    """The checks of a program's layers, weights and constants, one by one."""
    return [
        *_of_unquantized(case, pipeline, program),
        *_of_quantized(case, pipeline, program, inputs),
        *_of_scales(case, pipeline, program),
        outcome_of(WEIGHTS_QUANTIZED, pipeline, graphs.float_weights(prepared_weights, program)),
        *_of_reads(pipeline, program, state),
    ]


def _of_unquantized(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The check that nothing is quantized, where a suite says so."""
    if case.quantizes == "something":
        return []
    ops = graphs.count_ops(program)
    arithmetic = graphs.integer_ops(program) if computes_in_integers(case, pipeline) else 0
    counts = {
        "integers made by arithmetic": arithmetic,
        "quantize ops": ops.quantize,
        "dequantize ops": ops.dequantize,
        "quantized weights": graphs.quantized_weights(program),
    }
    told = [f"{name}: {count}" for name, count in counts.items() if count]
    return [outcome_of(NOTHING_QUANTIZED, pipeline, told)]


def _of_quantized(case: Case, pipeline: str, program: nn.Module, inputs: Inputs) -> list[CheckOutcome]:
    """The checks op by op; none where nothing is quantized, which is a verdict of its own."""
    ops, in_integers = graphs.count_ops(program), computes_in_integers(case, pipeline)
    if not ops.quantize + ops.dequantize + (graphs.integer_ops(program) if in_integers else 0):
        return []
    made = [
        outcome_of(OPS_QUANTIZED, pipeline, graphs.float_ops(program, claims_of(case.quantizer, pipeline))),
        *_of_float_parts(case, pipeline, program),
    ]
    if in_integers:
        return made
    return [
        *made,
        outcome_of(BATCH_NORM_FOLDED, pipeline, graphs.unfolded_batch_norms(program, _rank_in(program, inputs))),
        *_of_biases(case, pipeline, program),
    ]


def computes_in_integers(case: Case, pipeline: str) -> bool:
    """Whether a pipeline writes integer arithmetic in the place of quantize and dequantize ops."""
    return preset_of(pipeline) == "pt2e" and case.quantizer.computes_in_integers


def _of_scales(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The check of the scales of weights; none where these are dequantized by arithmetic, in any layout."""
    if computes_in_integers(case, pipeline):
        return []
    return [outcome_of(WEIGHT_SCALES, pipeline, graphs.misplaced_scales(program))]


def _of_reads(pipeline: str, program: nn.Module, state: State) -> list[CheckOutcome]:
    """The check that what the float model reads is read; none where it is not known. What neither reads is a note."""
    if state.reads is None:
        return []
    gone = graphs.unread(program, state.reads.live)
    made = outcome_of(
        PARAMETERS_READ,
        pipeline,
        [f"{name} is read by the float model and by nothing after convert" for name in gone],
    )
    dead = state.reads.dead
    if gone or not dead:
        return [made]
    more = f" and {len(dead) - _TOLD} more" if len(dead) > _TOLD else ""
    return [replace(made, message=f"the float model itself does not read {', '.join(dead[:_TOLD])}{more}")]


def _of_biases(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The check of biases; none where none is declared."""
    bias = case.quantizer.bias
    return [] if bias is None else [outcome_of(BIASES_QUANTIZED, pipeline, graphs.float_biases(program, bias.dtype))]


def _rank_in(program: nn.Module, inputs: Inputs) -> Callable[[fx.Node], int | None]:
    """How many dimensions a node's value has, None where that is not known; the program runs to find out."""

    def rank_of(node: fx.Node) -> int | None:
        if not isinstance(program, fx.GraphModule) or node.graph is not program.graph:
            return None
        state = graphs.state_of(program)
        store = Store()
        try:
            _, values = record(program, inputs, [Probe(node=node.name)], store)
            value = values.get(Probe(node=node.name))
        finally:
            store.close()
            graphs.restore_state(program, state)
        return value.ndim if isinstance(value, Tensor) else None

    return rank_of


def _of_float_parts(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The check that what is declared to stay in float does; none where nothing is."""
    claims = claims_of(case.quantizer, pipeline)
    if not any(is_left for claim in claims for parts in (claim.modules, claim.types) for is_left in parts.values()):
        return []
    return [outcome_of(FLOAT_KEPT, pipeline, graphs.quantized_against_order(program, claims))]


def claims_of(quantizer: QuantizerSpec, pipeline: str) -> list[graphs.Claim]:
    """The ops with weights that a quantizer says it quantizes, and the parts of the model that it leaves in float.

    A quantizer class of PT2E's claims what is known of it, and nothing where nothing is. FX graph
    mode's presets are for all ops; where activations are quantized as they come, for linear layers
    alone. Declared specs are for those that are annotated by themselves, since those of a chain
    such as conv_bn need not be in one. Phases leave out modules each in its own way.
    """
    if quantizer.phases:
        return []
    members = quantizer.members if preset_of(pipeline) == "pt2e" else (quantizer,)
    return [_claim(member, pipeline) for member in members]


def _claim(member: QuantizerSpec, pipeline: str) -> graphs.Claim:
    preset = member.pt2e if preset_of(pipeline) == "pt2e" else member.fx
    claimed = frozenset(member.annotate if preset is None and member.is_declared else _claims(member, pipeline))
    ops = (_LINEAR if "linear" in claimed else frozenset()) | (_CONVOLUTIONS if "conv" in claimed else frozenset())
    if preset is None or isinstance(preset, Composition):
        return graphs.Claim(ops=ops, operands=_operands(member))
    qconfig = preset.qconfig if isinstance(preset, FxPreset) else None
    operands = _operands(qconfig) if isinstance(qconfig, QConfigSpec) else graphs.OPERANDS
    return graphs.Claim(ops=ops, operands=operands, modules=_left(preset.modules), types=_left(preset.types))


def _operands(spec: QuantizerSpec | QConfigSpec) -> tuple[str, ...]:
    """What of a layer is quantized by declared specs."""
    declared = {"weight": spec.weight, "input": spec.activation}
    return tuple(name for name in graphs.OPERANDS if declared[name] is not None)


def _left(parts: tuple[Part[Any], ...]) -> dict[str, bool]:
    return {path: setting is None for path, setting in settings(parts).items()}


def _claims(quantizer: QuantizerSpec, pipeline: str) -> tuple[str, ...]:
    """The families of ops with weights that a preset claims."""
    if preset_of(pipeline) == "pt2e" and isinstance(quantizer.pt2e, Pt2ePreset):
        return quantizer.pt2e.claims(quantizer.mode)
    as_it_comes = quantizer.mode == "dynamic" or (quantizer.fx is not None and quantizer.fx.is_dynamic)
    return ("linear",) if as_it_comes else ("linear", "conv")


def of_other_batch(
    case: Case, pipeline: str, run: Callable[[Inputs], object], inputs: Inputs, outputs: object, *, where: str = ""
) -> CheckOutcome:
    """A batch twice as long, each half the inputs: whoever exports with a free axis wants to run on other batches.

    `run` gives what was converted, or what runs `where` it was lowered to, on other inputs.
    """
    doubled = inputs.map(_twice)
    try:
        longer = run(doubled)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the answer
        isolation.let_ctrl_c_through(error)
        return outcome_of(OTHER_BATCH, pipeline, [f"a batch twice as long fails{where}: {told(error)}"])
    expected = pytree.tree_map(lambda item: _twice(item) if isinstance(item, Tensor) else item, outputs)
    same = numerics.compare(
        expected, longer, at="convert", names=("one batch", "twice the batch"), tolerance=case.tolerance
    )
    if same.status in {"exact", "close"}:
        return outcome_of(OTHER_BATCH, pipeline, [])
    apart = same.message or f"they are {same.max_abs:.3g} apart"
    return outcome_of(OTHER_BATCH, pipeline, [f"a batch twice as long gives other outputs{where}: {apart}"])


def _twice(tensor: Tensor) -> Tensor:
    """The tensor twice, one after the other; what has no axis has no batch."""
    return torch.cat([tensor, tensor]) if tensor.ndim else tensor


def _randomness(program: nn.Module, inputs: Inputs, outputs: object, again: object) -> list[str]:
    apart = numerics.apart_in_two_runs(outputs, again, at="convert")
    if apart is None:
        return []
    told = f"the converted model gives two different outputs for one input and two seeds: {apart}"
    first = _first_random(program, inputs)
    return [told if first is None else f"{told}, first at {graphs.place_of(first)}{graphs.behind(first)}"]


def _first_random(program: nn.Module, inputs: Inputs) -> fx.Node | None:
    """The first node that gives two values for two seeds; None where the program has no graph to ask."""
    if not isinstance(program, fx.GraphModule):
        return None
    state, store = graphs.state_of(program), Store()
    probes = [Probe(node=node.name) for node in program.graph.nodes if node.op != "output"]
    try:
        runs = []
        for seed in (FORWARD_SEED, FORWARD_SEED + 1):
            graphs.restore_state(program, state)
            runs.append(record(program, inputs, probes, store, seed=seed)[1])
        one, other = ({probe.node: values.get(probe) for probe in probes} for values in runs)
    finally:
        store.close()
        graphs.restore_state(program, state)
    return next((node for node in program.graph.nodes if _differ(one.get(node.name), other.get(node.name))), None)


def _differ(one: object, other: object) -> bool:
    pairs = zip(pytree.tree_leaves(one), pytree.tree_leaves(other), strict=False)
    return any(
        isinstance(left, Tensor) and isinstance(right, Tensor) and not torch.equal(left, right) for left, right in pairs
    )


def outcome_of(name: str, pipeline: str, faults: list[str]) -> CheckOutcome:
    """A check that holds where there are no faults."""
    if not faults:
        return CheckOutcome(name=name, pipeline=pipeline, status="passed")
    more = f" and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
    return CheckOutcome(name=name, pipeline=pipeline, status="failed", message="; ".join(faults[:_TOLD]) + more)
