"""Kernels, counted: ops of one name and one arithmetic are one entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qatrix.lowerings import Arithmetic, Kernel


def counted(ran: Iterable[tuple[str, Arithmetic, Sequence[str]]]) -> tuple[Kernel, ...]:
    """The kernels of these names, arithmetics and layers, in the order in which they first run."""
    layers: dict[tuple[str, Arithmetic], dict[str, None]] = {}
    counts: dict[tuple[str, Arithmetic], int] = {}
    for name, arithmetic, of in ran:
        key = (name, arithmetic)
        counts[key] = counts.get(key, 0) + 1
        layers.setdefault(key, {}).update(dict.fromkeys(of))
    return tuple(
        Kernel(name=name, arithmetic=arithmetic, count=count, layers=tuple(layers[name, arithmetic]))
        for (name, arithmetic), count in counts.items()
    )
