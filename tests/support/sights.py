"""Layouts and sights of programs that never ran, for tests of how two of them are compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qatrix.diagnoses import Parameters
from qatrix.judge.diagnosis.layout import Layout, Site
from qatrix.judge.diagnosis.parameters import Measured
from qatrix.judge.diagnosis.placement import Placement, Probe, Quantizing
from qatrix.judge.diagnosis.sight import Norm, Sight


def site(name: str, *inputs: str, op: str = "Linear", **facts: object) -> Site:
    """A site whose key is its name; one without inputs is an input of the model."""
    return Site(
        key=name,
        name=name,
        kind="module" if inputs else "input",
        op=op if inputs else "input",
        path=name,
        scope="",
        call=0,
        inputs=inputs,
        facts=facts,
    )


def layout(*sites: Site, outputs: tuple[str, ...] = ()) -> Layout:
    """A layout of these sites; the last is the output unless told otherwise."""
    return Layout(sites={item.key: item for item in sites}, outputs=outputs or (sites[-1].key,))


@dataclass
class Held:
    """Values at probes, as a recording has them."""

    held: Mapping[Probe, object] = field(default_factory=dict)

    def get(self, probe: Probe) -> object:
        """The value, None where there is none."""
        return self.held.get(probe)


def measured(scale: float = 0.1, zero_point: int = 0, *, shared: int | None = None, **settings: object) -> Measured:
    """A tensor that is quantized to int8 with one scale."""
    known: dict[str, object] = {"node": "quantize", "dtype": "int8", "quant_min": -128, "quant_max": 127} | settings
    return Measured(
        parameters=Parameters(scale_min=scale, zero_point_min=zero_point, **known),  # type: ignore[arg-type]  # any settings
        scale=torch.tensor([scale], dtype=torch.float64),
        zero_point=torch.tensor([zero_point]),
        site=None,
        shared=shared,
    )


def sight(
    pipeline: str,
    computed: Mapping[str, object],
    quantized: Mapping[str, Tensor] | None = None,
    *,
    tensors: Mapping[str, Measured] | None = None,
    codes: Mapping[str, Tensor] | None = None,
    fused: Mapping[str, tuple[str, ...]] | None = None,
    norms: Mapping[str, Norm] | None = None,
    unpadded: Mapping[str, str] | None = None,
    modules: Mapping[str, tuple[str, ...]] | None = None,
    nested: Mapping[str, str] | None = None,
    random: Mapping[str, str] | None = None,
    raw_reads: Collection[tuple[str, str]] = (),
) -> Sight:
    """A program that computes and passes on these values, by site."""
    passed = {**dict.fromkeys(codes or {}), **(quantized or {})}
    items = {
        key: Quantizing(
            tensor=key,
            site=key,
            node=f"{key}_q",
            kind="quantize" if codes and key in codes else "fake_quantize",
            passed_on=f"{key}_q_dq" if codes and key in codes else f"{key}_q",
            rounds=1,
        )
        for key in passed
    }
    held: dict[Probe, object] = {Probe(node=key): value for key, value in computed.items()}
    held |= {Probe(node=str(items[key].passed_on)): value for key, value in (quantized or {}).items()}
    held |= {Probe(node=f"{key}_q"): value for key, value in (codes or {}).items()}
    nodes = [node for key in computed for node in (key, f"{key}_q")]
    return Sight(
        pipeline=pipeline,
        placement=Placement(
            computed={key: Probe(node=key) for key in computed},
            quantized=items,
            quantizing=tuple(items.values()),
            fused=fused or {},
            owner={},
            factor_eps={},
            nested=nested or {},
        ),
        values=Held(held),
        outputs=None,
        tensors=tensors or {},
        norms=norms or {},
        unpadded=unpadded or {},
        modules=modules or {},
        random=random or {},
        raw_reads=frozenset(raw_reads),
        labels={node: node for node in nodes},
        lines=(),
    )
