"""Real pipelines with one stage altered: how faults are planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qatrix.pipelines import PIPELINES, Pipeline


class Altered:
    """A real pipeline, one of whose stages does something else afterwards."""

    def __init__(self, name: str, **after: Callable[..., Any]) -> None:
        self._pipeline = PIPELINES[name]
        self._after = after

    def __getattr__(self, stage: str) -> Any:
        original = getattr(self._pipeline, stage)
        if stage not in self._after:
            return original

        def altered(*args: Any, **kwargs: Any) -> Any:
            return self._after[stage](original(*args, **kwargs))

        return altered


def with_altered(name: str, **after: Callable[..., Any]) -> Mapping[str, Pipeline]:
    return {**PIPELINES, name: Altered(name, **after)}
