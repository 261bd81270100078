"""Causes by name: each recogniser looks for one in the facts and in both programs, and shows its evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from qatrix.diagnoses import Cause, Divergence
from qatrix.judge.diagnosis.causes import fusing, layers, losses, norms, quantization, specification
from qatrix.judge.diagnosis.causes.facts import Facts, Found, Recogniser
from qatrix.judge.wording import causes as words

__all__ = ["RECOGNISERS", "Facts", "find_causes"]

RECOGNISERS: Final[tuple[Recogniser, ...]] = (
    norms.setting_replaced,
    norms.one_norm_for_two,
    norms.normalizes_with_the_batch,
    norms.folded_though_read,
    layers.padding_mode_ignored,
    layers.left_random,
    layers.nested_graph,
    fusing.fused_for_all_calls,
    norms.fusion_not_declared,
    fusing.not_fused,
    quantization.left_unquantized,
    quantization.read_unquantized,
    quantization.weight_not_trained,
    quantization.quantized_again,
    specification.shared_parameters,
    quantization.operand_quantized,
    specification.different_specification,
    norms.not_folded,
)


def find_causes(facts: Facts) -> tuple[Cause, ...]:
    """The causes that are recognised, those of the first divergence first; else one that is "unexplained".

    Where the programs do not differ: what both leave undone. There, and where neither keeps what
    varies in the output: the layer at which both leave the float model, if there is one. A cause is never guessed:
    one that does not change the value that is the first to differ does not explain it, however likely it looks.
    Recognisers know what built-in pipelines do, so that of others none is asked.
    """
    if any(sight.opaque for pair in facts.sights.values() for sight in pair):
        return () if facts.first is None else (_unexplained(facts.first),)
    lost = [losses.shared_loss(facts)] if facts.first is None or losses.nothing_is_left(facts) else []
    shared = [cause for cause in lost if cause is not None]
    if facts.first is None:
        return (*norms.left_by_both(facts), *shared)
    causes = [_placed(item, facts) for recogniser in RECOGNISERS for item in recogniser(facts)]
    if not any(cause.explains_first for cause in causes):
        causes.append(_unexplained(facts.first))
    return tuple(sorted([*causes, *shared], key=lambda cause: (not cause.explains_first, not cause.explains_at)))


def _placed(item: Found, facts: Facts) -> Cause:
    """A cause, with the points whose first divergence it explains."""
    points = [point for point in facts.points.values() if point.first is not None and item.explains(point.first)]
    first = facts.first is not None and item.explains(facts.first)
    return replace(item.cause, explains_first=first, explains_at=tuple(point.at for point in points))


def _unexplained(first: Divergence) -> Cause:
    return Cause(
        name="unexplained",
        kind="unexplained",
        sentence=words.UNEXPLAINED(layer=first.layer, at=first.at),
        layer=first.layer,
        evidence=(first.sentence,),
        explains_first=True,
        explains_at=(first.at,),
    )
