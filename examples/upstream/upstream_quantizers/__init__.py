"""Quantizers that upstream's tests write or configure in Python, for the declarations beside this package.

Whoever runs those declarations allows it: `--allow-module upstream_quantizers`.
"""

from __future__ import annotations

from upstream_quantizers.annotating import (
    Convolutions,
    Decomposed,
    Everything,
    Forgetting,
    Ops,
    Parts,
    Replacing,
    Shuffles,
    TaggedOps,
    WrittenBuffers,
)
from upstream_quantizers.configured import (
    embeddings,
    inductor,
    inductor_of_names,
    inductor_of_types,
    x86_linears_in_half_precision,
    xnnpack,
    xnnpack_of,
)
from upstream_quantizers.observing import Groups, SumsOfFourBits

__all__ = [
    "Convolutions",
    "Decomposed",
    "Everything",
    "Forgetting",
    "Groups",
    "Ops",
    "Parts",
    "Replacing",
    "Shuffles",
    "SumsOfFourBits",
    "TaggedOps",
    "WrittenBuffers",
    "embeddings",
    "inductor",
    "inductor_of_names",
    "inductor_of_types",
    "x86_linears_in_half_precision",
    "xnnpack",
    "xnnpack_of",
]
