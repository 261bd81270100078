"""Graphs: what ops are called, how often they occur, whether a graph is the expected one, and whether it is sound."""

from qatrix.judge.graphs.arithmetic import integer_ops
from qatrix.judge.graphs.biases import float_biases
from qatrix.judge.graphs.checks import run_check
from qatrix.judge.graphs.facts import OpCounts, count_fake_quantizes, count_ops, output_steps, unfused_batch_norms
from qatrix.judge.graphs.folding import unfolded_batch_norms
from qatrix.judge.graphs.parts import OPERANDS, Claim
from qatrix.judge.graphs.places import behind, place_of, reader_of
from qatrix.judge.graphs.randomness import live_random_ops
from qatrix.judge.graphs.reading import Held, Layer, Read, unread
from qatrix.judge.graphs.soundness import (
    batch_norm_faults,
    changed_state,
    float_ops,
    float_weights,
    is_counter,
    misplaced_scales,
    quantized_against_order,
    quantized_weights,
    restore_state,
    state_of,
    unobserved,
)
from qatrix.judge.graphs.transcript import transcribe

__all__ = [
    "OPERANDS",
    "Claim",
    "Held",
    "Layer",
    "OpCounts",
    "Read",
    "batch_norm_faults",
    "behind",
    "changed_state",
    "count_fake_quantizes",
    "count_ops",
    "float_biases",
    "float_ops",
    "float_weights",
    "integer_ops",
    "is_counter",
    "live_random_ops",
    "misplaced_scales",
    "output_steps",
    "place_of",
    "quantized_against_order",
    "quantized_weights",
    "reader_of",
    "restore_state",
    "run_check",
    "state_of",
    "transcribe",
    "unfolded_batch_norms",
    "unfused_batch_norms",
    "unobserved",
    "unread",
]
