"""Chains of layers that one program computes or quantizes as one, and the other does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from qatrix.judge.diagnosis.causes.facts import Facts, Found, found, joined
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.placement import is_fusable
from qatrix.judge.diagnosis.sight import Sight
from qatrix.judge.wording import causes as words

# What batch norm and ReLU are fused into, by the beginning of the op's name.
_ROOTS: Final = ("conv", "linear", "add", "mul", "matmul", "bmm")


def not_fused(facts: Facts) -> Iterator[Found]:
    """One program quantizes inside a chain of layers that the other computes as one."""
    told: set[str] = set()
    for at, sight, other in facts.views():
        for key, chain in chains_between(facts, sight, other).items():
            if key in told or any(facts.is_undeclared(sight, other, site.key) for site in chain):
                continue
            told.update((key, *(site.key for site in chain)))
            start = facts.name(key)
            names = [*facts.compound(facts.layout.sites[key], sight), *(site.name for site in chain)]
            node = sight.labels[sight.placement.quantized[key].node]
            scaled = "momentum" in chain[0].facts and f"{start}.weight" in other.tensors
            yield found(
                "not_fused",
                "one_pipeline",
                words.NOT_FUSED(pipeline=sight.pipeline, other=other.pipeline, layers=", ".join(names)),
                layer=start,
                pipeline=sight.pipeline,
                computed=names if scaled else [site.name for site in chain],
                quantized=[start, *(site.name for site in chain)],
                evidence=(
                    words.QUANTIZED_BETWEEN(pipeline=sight.pipeline, at=at, node=node, layer=start),
                    words.NOT_QUANTIZED_BETWEEN(other=other.pipeline, at=at, first=start, last=names[-1]),
                    *([words.WEIGHT_SCALED_FIRST(other=other.pipeline, norm=chain[0].name)] if scaled else []),
                ),
            )


def chains_between(facts: Facts, sight: Sight, other: Sight) -> dict[str, list[Site]]:
    """The layers whose output only the first program quantizes, and the rest of the chain that the other fuses."""
    found = {}
    for key in facts.outputs_alone(sight, other):
        root = facts.compound(facts.layout.sites[key], sight)[0]
        op = next(site.op for site in facts.layout.sites.values() if site.name == root)
        chain = _fused_chain(facts.layout, other, key)
        if chain and op.lower().startswith(_ROOTS):
            found[key] = chain
    return found


def _fused_chain(layout: Layout, sight: Sight, key: str) -> list[Site]:
    """The batch norm and ReLU after a layer up to the one whose output is quantized; empty where it is not so."""
    chain: list[Site] = []
    while True:
        consumers = layout.consumers(key)
        if len(consumers) != 1 or not is_fusable(consumers[0]):
            return []
        chain.append(consumers[0])
        key = consumers[0].key
        if key in sight.placement.quantized:
            return chain


def fused_for_all_calls(facts: Facts) -> Iterator[Found]:
    """A module that is called several times is fused with what follows one call, and so with every call."""
    told = set()
    for at, sight, _ in facts.views():
        for path, keys in sight.modules.items():
            followers = {key: _followers(facts, sight, key) for key in keys}
            for key in keys:
                gained = [site for other in keys for site in followers[other] if _lacks(followers[key], site)]
                name = facts.name(key)
                if not gained or name in told:
                    continue
                told.add(name)
                after = [facts.name(other) for other in keys if any(site in followers[other] for site in gained)]
                wrong = joined(dict.fromkeys(site.name for site in gained))
                yield found(
                    "fused_for_all_calls",
                    "defect",
                    words.FUSED_FOR_ALL_CALLS(pipeline=sight.pipeline, layer=name, wrong=wrong, calls=joined(after)),
                    layer=name,
                    pipeline=sight.pipeline,
                    computed=(name,),
                    quantized=(name,),
                    evidence=(
                        words.CALLED_AND_FOLLOWED(module=path, count=len(keys), wrong=wrong, calls=joined(after)),
                        words.CALLS_SHARE_MODULE(pipeline=sight.pipeline, at=at, wrong=wrong),
                    ),
                )


def _followers(facts: Facts, sight: Sight, key: str) -> tuple[Site, ...]:
    """The layers that a program computes as one with a call of a module."""
    for last, merged in sight.placement.fused.items():
        members = (*merged, last)
        if key in members:
            return tuple(facts.layout.sites[member] for member in members[1:])
    return ()


def _lacks(followers: Sequence[Site], wanted: Site) -> bool:
    """Whether no layer of a kind follows a call; two batch norms are of one kind."""
    return all(site.op.lower() != wanted.op.lower() for site in followers)
