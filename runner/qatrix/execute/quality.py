"""How near a converted model's outputs are to the float model's, and whether that proves anything."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor, fx, nn

from qatrix.claims import FINITE_OUTPUTS, INFORMATIVE_OUTPUTS, NOTHING_QUANTIZED, SQNR_OF_BITS
from qatrix.declare.spec import Case, QuantizerSpec, TensorSpec
from qatrix.execute.recording import Store, record
from qatrix.execute.soundness import outcome_of
from qatrix.judge import graphs, numerics
from qatrix.judge.diagnosis.placement import Probe
from qatrix.judge.graphs.ops import argument, op_name
from qatrix.outcomes import CheckOutcome, PipelineOutcome
from qatrix.pipelines.inputs import Inputs
from qatrix.ways import preset_of

# The greatest ratio of a tensor's peak to its root mean square that is taken for granted.
# Of 2,100 sound post-training results of the shipped matrix none needs more than 6.2.
_CREST_FACTOR: Final = 12.0
# What the presets of both pipelines have.
_PRESET_BITS: Final = 8.0
# By how much noise may grow against the signal on its way, in amplitude: a layer norm subtracts means, and keeps
# the noise. Of the sound results of 500 trained cases of the shipped matrix none needs more than 1.7.
_GAIN: Final = 2.0
# What is cut off is spread from 0 to 1 step, what is rounded from -1/2 to 1/2: mean squares of 1/3 and 1/12.
_POWER_OF_CUTTING_OFF: Final = 4
# Measures what each quantize op of a converted program loses: the power of the error by that of the signal.
Measure = Callable[[], Sequence[float]]


def trains(case: Case) -> bool:
    """Whether any phase of the case is quantization-aware training."""
    modes = [phase.quantizer.mode for phase in case.quantizer.phases] or [case.quantizer.mode]
    return "qat" in modes


def of_outcome(case: Case, outcome: PipelineOutcome, measure: Measure | None = None) -> list[CheckOutcome]:
    """The check of how near a pipeline's quantized output is to the float model's; none where there is no SQNR.

    Where ranges need not fit what comes, `measure` tells what they lose; with fixed scales there is
    no check without it.
    """
    roundings = _roundings(outcome)
    if outcome.sqnr_db is None or not roundings:
        return []
    if _is_of_unknown_bits(case, outcome.pipeline):
        return []
    by_bits = noise_of_bits(case.quantizer) * roundings
    least, explained = -_decibels(by_bits), "the bits of weights and activations explain"
    if outcome.sqnr_db < least and _may_not_fit(case):
        if measure is None and not trains(case):
            return []
        least, explained = _least_of_ranges(case, by_bits, measure), "their bits and ranges explain"
    faults = []
    if outcome.sqnr_db < least:
        faults.append(f"an SQNR of {outcome.sqnr_db:.1f} dB is below {least:.1f} dB, which {explained}")
    varies = outcome.variation_db
    if varies is not None and varies <= 0 and not _is_of_another_kind(case):
        faults.append(f"the noise is {-varies:.1f} dB louder than the variation in the float model's outputs")
    return [outcome_of(SQNR_OF_BITS, outcome.pipeline, faults)]


def of_unknown_code(case: Case, outcome: PipelineOutcome) -> list[CheckOutcome]:
    """The check that nothing is quantized by a pipeline of unknown code, where a suite says so, by what it gives."""
    if case.quantizes == "something" or outcome.pipeline not in case.own_pipelines or not outcome.is_converted:
        return []
    ops = "quantize and dequantize ops are there" if outcome.quantize_ops or outcome.dequantize_ops else None
    other = "its output is not the float model's" if outcome.keeps_float is False else None
    return [outcome_of(NOTHING_QUANTIZED, outcome.pipeline, [told for told in (ops, other) if told])]


def explained_by_bits(case: Case, pipeline: str, roundings: int) -> float | None:
    """The SQNR in decibels that bits explain after so many roundings; None where they are not known, or none is."""
    if not roundings or _is_of_unknown_bits(case, pipeline):
        return None
    return -_decibels(noise_of_bits(case.quantizer) * roundings)


def _is_of_unknown_bits(case: Case, pipeline: str) -> bool:
    """Whether code that is not qatrix's or PyTorch's decides to how many bits a pipeline rounds."""
    return pipeline in case.own_pipelines or (preset_of(pipeline) != "fx" and case.quantizer.runs_own_code)


def _roundings(outcome: PipelineOutcome) -> int:
    """How many quantize and dequantize ops have the noise of a converted program; none where nothing is quantized.

    Integer arithmetic that stands for such ops cuts off, where they round to the nearest, which is four times the
    power of noise; and each of its integers stands for a quantize and a dequantize op.
    """
    ops = (outcome.quantize_ops or 0) + (outcome.dequantize_ops or 0) if outcome.quantize_ops else 0
    return ops + 2 * _POWER_OF_CUTTING_OFF * (outcome.integer_ops or 0)


def _is_of_another_kind(case: Case) -> bool:
    """Whether the float model's outputs are not what these should be: ranges clip on purpose, or both have learned."""
    return case.training is not None or _has_fixed_scales(case)


def _may_not_fit(case: Case) -> bool:
    """Whether ranges are not those of what comes: averages of training, or fixed beforehand."""
    return trains(case) or _has_fixed_scales(case)


def _has_fixed_scales(case: Case) -> bool:
    return any(spec.scale is not None for item in case.quantizer.members for spec in item.tensors)


def _least_of_ranges(case: Case, by_bits: float, measure: Measure | None) -> float:
    """The SQNR in decibels that the losses of all ranges explain.

    After training it is 0 dB at least, at which noise is as loud as the signal; after steps of
    an optimizer no more, since the float model has taken steps of its own.
    """
    if measure is None or (case.training is not None and trains(case)):
        return 0.0
    usual = noise_of_bits(case.quantizer)
    # What clips is no noise of its own, so that losses may add up like amplitudes.
    amplitude = math.sqrt(by_bits) + sum(math.sqrt(loss) for loss in measure() if loss > usual)
    least = -2 * _decibels(_GAIN * amplitude)
    return max(0.0, least) if trains(case) else least


def noise_of_bits(quantizer: QuantizerSpec) -> float:
    """The power of the noise of one rounding to the quantizer's bits, by that of the signal.

    A uniform quantizer of b bits that just holds a signal of crest factor c has an SQNR of
    6.02 b + 4.77 - 20 log10(c) dB (Proakis and Manolakis, Digital Signal Processing, section
    on quantization errors); n such noises of equal power add up to 10 log10(n) dB more.
    """
    return float(10 ** -((6.02 * _bits(quantizer) + 4.77 - 20 * math.log10(_CREST_FACTOR)) / 10))


def _decibels(power: float) -> float:
    return 10 * math.log10(power)


def _bits(quantizer: QuantizerSpec) -> float:
    """The fewest bits of anything that the quantizer quantizes."""
    return min(map(_bits_of_one, quantizer.members))


def _bits_of_one(quantizer: QuantizerSpec) -> float:
    return min((_bits_of_tensor(spec) for spec in quantizer.tensors), default=_PRESET_BITS)


def _bits_of_tensor(spec: TensorSpec) -> float:
    return math.log2(spec.quant_max - spec.quant_min + 1) - spec.reduce_range


def of_outputs(pipeline: str, reference: object, outputs: object) -> list[CheckOutcome]:
    """The checks that the float model's outputs prove something, and that a converted model's are finite.

    The second is not made where the float model's are not finite.
    """
    nothing = numerics.proves_nothing(reference)
    made = [outcome_of(INFORMATIVE_OUTPUTS, pipeline, [_uninformative(nothing)] if nothing else [])]
    if not numerics.not_finite(reference):
        count = numerics.not_finite(outputs)
        faults = [f"{count} values are NaN or infinite where the float model's are finite"] if count else []
        made.append(outcome_of(FINITE_OUTPUTS, pipeline, faults))
    return made


def _uninformative(because: str) -> str:
    return (
        f"equal outputs prove nothing here, because in the float model's outputs {because}; "
        "expected two finite values that differ: change the inputs or the weights of the model"
    )


def losses(program: nn.Module, inputs: Inputs) -> list[float]:
    """What each quantize op loses of the values that it gets, in rounding and clipping; the program runs once more."""
    if not isinstance(program, fx.GraphModule):
        return []
    rounding = [node for node in program.graph.nodes if _has_fixed_scale(node)]
    probes = {node: Probe(node=node.args[0].name) for node in rounding}
    state, store = graphs.state_of(program), Store()
    try:
        _, values = record(program, inputs, list(probes.values()), store)
        return [found for node, probe in probes.items() if (found := _loss(node, values.get(probe))) is not None]
    finally:
        store.close()
        graphs.restore_state(program, state)


def _has_fixed_scale(node: fx.Node) -> bool:
    """Whether it quantizes a computed value, and no weight, with one scale that is a number."""
    if op_name(node) != "quantize_per_tensor" or not isinstance(node.args[0], fx.Node) or node.args[0].op == "get_attr":
        return False
    return isinstance(argument(node, "scale"), float)


def _loss(node: fx.Node, value: object) -> float | None:
    if not isinstance(value, Tensor) or not value.isfinite().all():
        return None
    exact = value.double()
    scale, zero_point, low, high = (argument(node, name) for name in ("scale", "zero_point", "quant_min", "quant_max"))
    codes: Any = torch.clamp(torch.round(exact / scale) + zero_point, low, high)
    error, signal = exact - (codes - zero_point) * scale, float(exact.square().sum())
    return float(error.square().sum()) / signal if signal else None
