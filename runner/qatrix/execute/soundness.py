"""The checks that are made for every case: two pipelines can agree to the bit and both be wrong.

They are in the record whether they hold or not, but for CONV_BN_FUSED, which is there where it fails:
a model that was captured into another IR than the patterns of the release's QAT fusion is quantized
and not fused, without an error.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from qatrix.claims import (
    BATCH_NORM_FOLDED,
    BATCH_NORM_STATE,
    CONV_BN_FUSED,
    DETERMINISTIC_EVAL,
    FINITE_OUTPUTS,
    OBSERVED,
    OPS_QUANTIZED,
    OTHER_BATCH,
    SQNR_OF_BITS,
    STEADY_EVAL,
    WEIGHT_SCALES,
    WEIGHTS_QUANTIZED,
    Tolerance,
)
from qatrix.declare.spec import Case, PatternSpec, QuantizerSpec
from qatrix.execute import isolation
from qatrix.execute.passes import FORWARD_SEED, forward
from qatrix.judge import graphs, numerics
from qatrix.outcomes import CheckOutcome, PipelineOutcome
from qatrix.text import told

# The greatest ratio of a tensor's peak to its root mean square that is taken for granted.
# Of 2,100 sound post-training results of the shipped matrix none needs more than 6.2.
_CREST_FACTOR: Final = 12.0
# What the presets of both pipelines have.
_PRESET_BITS: Final = 8.0
_STATISTICS: Final = frozenset({"running_mean", "running_var"})
_LINEAR: Final = frozenset({"linear"})
_CONVOLUTIONS: Final = frozenset({"conv", "conv_transpose"})
# Findings that a message spells out; the rest it counts.
_TOLD: Final = 3


def of_prepared(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The checks of a prepared program, after its forward pass."""
    made = [_outcome(OBSERVED, pipeline, graphs.unobserved(program))]
    # What an earlier phase has trained is not fresh any more, and what is filled never was.
    if not case.quantizer.phases and not _fills_statistics(case.pattern):
        moved = graphs.batch_norm_faults(program, training=case.quantizer.mode == "qat")
        made.append(_outcome(BATCH_NORM_STATE, pipeline, moved))
    left = graphs.unfused_batch_norms(program)
    if left:
        message = (
            f"{', '.join(left)} follows a quantized convolution without being fused with it, "
            "so that what was captured does not match the patterns that this release fuses"
        )
        made.append(CheckOutcome(name=CONV_BN_FUSED, pipeline=pipeline, status="failed", message=message))
    return made


def _fills_statistics(pattern: PatternSpec) -> bool:
    """Whether a pattern, or one in it, gives batch norms other statistics than those that they are made with."""
    names = {item.path.rpartition(".")[2] for item in pattern.init}
    inner = (layer.pattern for layer in pattern.layers if layer.pattern is not None)
    return bool(names & _STATISTICS) or any(map(_fills_statistics, inner))


def of_converted(
    case: Case,
    pipeline: str,
    program: nn.Module,
    *,
    inputs: tuple[Tensor, ...],
    outputs: object,
    prepared_weights: int,
) -> list[CheckOutcome]:
    """The checks of a converted program, which is run once more, with another seed.

    `outputs` are what it gave before, `prepared_weights` how many weights were quantized after prepare.
    """
    before = graphs.state_of(program)
    again = forward(program, inputs, seed=FORWARD_SEED + 1)
    changed = graphs.changed_state(before, program)
    return [
        *_of_quantized(case, pipeline, program),
        _outcome(WEIGHT_SCALES, pipeline, graphs.misplaced_scales(program)),
        _outcome(WEIGHTS_QUANTIZED, pipeline, graphs.float_weights(prepared_weights, program)),
        _outcome(STEADY_EVAL, pipeline, [f"{name} has changed" for name in changed if not graphs.is_counter(name)]),
        _outcome(DETERMINISTIC_EVAL, pipeline, _randomness(outputs, again)),
        *([_of_other_batch(case, pipeline, program, inputs, outputs)] if case.dynamic_batch else []),
    ]


def _of_quantized(case: Case, pipeline: str, program: nn.Module) -> list[CheckOutcome]:
    """The checks op by op; none where nothing is quantized, which is a verdict of its own."""
    ops = graphs.count_ops(program)
    if not ops.quantize + ops.dequantize:
        return []
    return [
        _outcome(OPS_QUANTIZED, pipeline, graphs.float_ops(program, claimed_ops(case.quantizer))),
        _outcome(BATCH_NORM_FOLDED, pipeline, graphs.unfolded_batch_norms(program)),
    ]


def claimed_ops(quantizer: QuantizerSpec) -> frozenset[str]:
    """The ops with weights that a quantizer says it quantizes wherever they stand.

    A preset is for all of them, for linear layers alone where activations are quantized as they
    come; declared specs are for those that are annotated by themselves, since those of a chain
    such as conv_bn need not be in one. Phases leave out modules each in its own way.
    """
    if quantizer.phases:
        return frozenset()
    if not quantizer.annotate:
        return _LINEAR if quantizer.mode == "dynamic" else _LINEAR | _CONVOLUTIONS
    return (_LINEAR if "linear" in quantizer.annotate else frozenset()) | (
        _CONVOLUTIONS if "conv" in quantizer.annotate else frozenset()
    )


def of_outcome(case: Case, outcome: PipelineOutcome) -> list[CheckOutcome]:
    """The check of how near a pipeline's quantized output is to the float model's; none where there is no SQNR."""
    if outcome.sqnr_db is None or not outcome.quantize_ops or outcome.dequantize_ops is None:
        return []
    least = least_sqnr_db(case.quantizer, outcome.quantize_ops + outcome.dequantize_ops)
    faults = []
    if outcome.sqnr_db < least:
        faults.append(
            f"an SQNR of {outcome.sqnr_db:.1f} dB is below {least:.1f} dB, "
            "which the bits of weights and activations explain"
        )
    return [_outcome(SQNR_OF_BITS, outcome.pipeline, faults)]


def of_outputs(pipeline: str, reference: object, outputs: object) -> list[CheckOutcome]:
    """The check that a converted model's outputs are finite; none where the float model's are not."""
    if numerics.not_finite(reference):
        return []
    count = numerics.not_finite(outputs)
    faults = [f"{count} values are NaN or infinite where the float model's are finite"] if count else []
    return [_outcome(FINITE_OUTPUTS, pipeline, faults)]


def least_sqnr_db(quantizer: QuantizerSpec, ops: int) -> float:
    """The SQNR in decibels below which rounding to the quantizer's bits does not explain the noise of that many ops.

    A uniform quantizer of b bits that just holds a signal of crest factor c has an SQNR of
    6.02 b + 4.77 - 20 log10(c) dB (Proakis and Manolakis, Digital Signal Processing, section
    on quantization errors); n such noises of equal power add up to 10 log10(n) dB more.

    In training, ranges are moving averages over what batch norms gave with the statistics of the
    batch, so that outputs in evaluation may not fit them: there 0 dB is the least, at which noise
    is as loud as the signal.
    """
    if quantizer.mode == "qat" or any(phase.quantizer.mode == "qat" for phase in quantizer.phases):
        return 0.0
    return 6.02 * _bits(quantizer) + 4.77 - 20 * math.log10(_CREST_FACTOR) - 10 * math.log10(ops)


def _bits(quantizer: QuantizerSpec) -> float:
    """The fewest bits of anything that the quantizer quantizes."""
    if quantizer.phases:
        return min(_bits(phase.quantizer) for phase in quantizer.phases)
    ranges = (spec for spec in (quantizer.activation, quantizer.weight) if spec is not None)
    return min((math.log2(spec.quant_max - spec.quant_min + 1) for spec in ranges), default=_PRESET_BITS)


def _of_other_batch(
    case: Case, pipeline: str, program: nn.Module, inputs: tuple[Tensor, ...], outputs: object
) -> CheckOutcome:
    """A batch twice as long, each half the inputs: whoever exports with a free axis wants to run on other batches."""
    doubled = tuple(_twice(tensor) for tensor in inputs)
    try:
        longer = forward(program, doubled)
    except BaseException as error:  # noqa: BLE001 - whatever it raises is the answer
        isolation.let_ctrl_c_through(error)
        return _outcome(OTHER_BATCH, pipeline, [f"a batch twice as long fails: {told(error)}"])
    expected = pytree.tree_map(lambda item: _twice(item) if isinstance(item, Tensor) else item, outputs)
    same = numerics.compare(
        expected, longer, at="convert", names=("one batch", "twice the batch"), tolerance=case.tolerance
    )
    if same.status in {"exact", "close"}:
        return _outcome(OTHER_BATCH, pipeline, [])
    apart = same.message or f"they are {same.max_abs:.3g} apart"
    return _outcome(OTHER_BATCH, pipeline, [f"a batch twice as long gives other outputs: {apart}"])


def _twice(tensor: Tensor) -> Tensor:
    """The tensor twice, one after the other; what has no axis has no batch."""
    return torch.cat([tensor, tensor]) if tensor.ndim else tensor


def _randomness(outputs: object, again: object) -> list[str]:
    same = numerics.compare(
        outputs, again, at="convert", names=("first", "second"), tolerance=Tolerance(name="exact", rtol=0, atol=0)
    )
    if same.status == "exact":
        return []
    apart = same.message or f"they are {same.max_abs:.3g} apart"
    return [f"the converted model gives two different outputs for one input and two seeds: {apart}"]


def _outcome(name: str, pipeline: str, faults: list[str]) -> CheckOutcome:
    if not faults:
        return CheckOutcome(name=name, pipeline=pipeline, status="passed")
    more = f" and {len(faults) - _TOLD} more" if len(faults) > _TOLD else ""
    return CheckOutcome(name=name, pipeline=pipeline, status="failed", message="; ".join(faults[:_TOLD]) + more)
