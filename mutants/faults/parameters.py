"""Faults of how activations are quantized, in the converted program."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator
from typing import Any, Final

from torch import fx

from mutants.faults.fault import Fault, Quantity
from mutants.programs import Pair, Place, Program, bypass, insert_after, with_argument

_SCALE: Final = 1
_ZERO_POINT: Final = 2
_LOWEST: Final = 3
_HIGHEST: Final = 4

# What a fault does with one pair.
Change = Callable[[Program, Pair], object]


def _each(change: Change) -> Callable[[Program], Iterator[Place]]:
    """A fault that every pair has room for."""

    def find(program: Program) -> Iterator[Place]:
        for pair in program.pairs():
            if pair.dequantizes:
                yield Place(pair.layer, functools.partial(change, program, pair))

    return find


def _altered(place: int, change: Callable[[Any], Any], *, quantize: bool = True, dequantize: bool = True) -> Change:
    """A number that is another one, in the op that quantizes, in those that dequantize, or in both."""

    def plant(program: Program, pair: Pair) -> None:
        for node in _nodes(pair, quantize=quantize, dequantize=dequantize):
            with_argument(node, place, change(node.args[place]))
        program.recompile()

    return plant


def _nodes(pair: Pair, *, quantize: bool, dequantize: bool) -> list[fx.Node]:
    return [*([pair.quantize] if quantize else []), *(pair.dequantizes if dequantize else ())]


def _drop(program: Program, pair: Pair) -> None:
    source = pair.quantize.args[0]
    assert isinstance(source, fx.Node)
    for node in pair.dequantizes:
        bypass(program, node, source)
    # What nobody reads would still count as a quantize op.
    program.module.graph.eliminate_dead_code()
    program.recompile()


def _again(factor: float) -> Change:
    def plant(program: Program, pair: Pair) -> None:
        for node in pair.dequantizes:
            _, scale, *others = node.args
            assert isinstance(scale, float)
            numbers = (scale * factor, *others)
            quantized = insert_after(program, node, pair.quantize.target, *numbers)
            insert_after(program, quantized, node.target, *numbers)

    return plant


def _round_down(program: Program, pair: Pair) -> None:
    """Quantize what is half a step lower, which rounds down instead of to the nearest."""
    source, scale = pair.quantize.args[:2]
    assert isinstance(scale, float)
    with program.module.graph.inserting_before(pair.quantize):
        lower = program.module.graph.call_function(operator.sub, (source, scale / 2))
    with_argument(pair.quantize, 0, lower)
    program.recompile()


def _of_another(program: Program) -> Iterator[Place]:
    """Each value with the parameters of the next one that has others."""
    pairs = [pair for pair in program.pairs() if pair.dequantizes]
    for pair in pairs:
        numbers = pair.quantize.args[1:]
        others = [other.quantize.args[1:] for other in pairs if other.quantize.args[1:] != numbers]
        if others:
            yield Place(pair.layer, functools.partial(_give, program, pair, others[0]))


def _give(program: Program, pair: Pair, numbers: tuple[Any, ...]) -> None:
    for node in (pair.quantize, *pair.dequantizes):
        node.args = (node.args[0], *numbers)
    program.recompile()


def _fault(name: str, quantity: Quantity, about: str, change: Change) -> Fault:
    return Fault(name=name, about=about, point="converted", quantity=quantity, find=_each(change))


FAULTS: Final = (
    _fault(
        "activation_scale_doubled",
        "scale",
        "an activation's scale is twice what was observed",
        _altered(_SCALE, lambda scale: scale * 2),
    ),
    _fault(
        "activation_scale_nudged",
        "scale",
        "an activation's scale is a thousandth larger than what was observed",
        _altered(_SCALE, lambda scale: scale * 1.001),
    ),
    _fault(
        "activation_scale_of_dequantize",
        "scale",
        "an activation is dequantized with a quarter more than it was quantized with",
        _altered(_SCALE, lambda scale: scale * 1.25, quantize=False),
    ),
    _fault(
        "activation_zero_point_off_by_one",
        "zero point",
        "an activation's zero point is one off",
        _altered(_ZERO_POINT, lambda point: point + (1 if point < 0 else -1)),
    ),
    _fault(
        "activation_zero_point_of_dequantize",
        "zero point",
        "an activation is dequantized with a zero point that is one off",
        _altered(_ZERO_POINT, lambda point: point + (1 if point < 0 else -1), quantize=False),
    ),
    _fault(
        "activation_range_of_seven_bits",
        "range",
        "an activation uses the lower half of its range",
        _altered(_HIGHEST, lambda highest: highest // 2 - 64, dequantize=True),
    ),
    _fault(
        "activation_clamped_early",
        "range",
        "an activation's range ends eight steps early",
        _altered(_HIGHEST, lambda highest: highest - 8),
    ),
    _fault(
        "activation_clamped_below",
        "range",
        "an activation's range begins eight steps late",
        _altered(_LOWEST, lambda lowest: lowest + 8),
    ),
    _fault("quantization_dropped", "quantization", "a value that was quantized is passed on in float", _drop),
    _fault("quantization_doubled", "quantization", "a value is quantized again, with another scale", _again(1.5)),
    _fault("quantization_repeated", "quantization", "a value is quantized again, with the same scale", _again(1.0)),
    _fault("rounded_down", "rounding", "an activation is rounded down instead of to the nearest", _round_down),
    Fault(
        name="activation_scale_of_another",
        about="an activation has the scale and zero point of another one",
        point="converted",
        quantity="scale",
        find=_of_another,
    ),
)
