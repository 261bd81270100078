"""Layers that a program computes in another way than the float model says."""

from __future__ import annotations

from collections.abc import Iterator

from qatrix.judge.diagnosis.causes.facts import Facts, Found, found


def padding_mode_ignored(facts: Facts) -> Iterator[Found]:
    """A convolution pads with zeros in one program, where the model says otherwise."""
    for at, sight, other in facts.views():
        for key, module in sight.unpadded.items():
            if key in other.unpadded:
                continue
            site = facts.layout.sites[key]
            mode = site.facts["padding_mode"]
            yield found(
                "padding_mode_ignored",
                "defect",
                f"{sight.pipeline} pads {site.name} with zeros, though the model says padding_mode={mode!r}",
                layer=site.name,
                pipeline=sight.pipeline,
                computed=facts.compound(site, sight),
                evidence=(
                    f"the float model: {site.name} has padding_mode={mode!r}",
                    f"{sight.pipeline} at {at}: the forward of {module} never reads padding_mode",
                ),
            )
