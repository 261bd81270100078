"""What is not as specified."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Point = Literal["prepare", "train", "convert"]


@dataclass(frozen=True)
class Deviation:
    """A layer, or a tensor such as "conv.weight", that is not as specified after `at`, and in which quantity."""

    at: Point
    layer: str
    quantity: str
    sentence: str


@dataclass
class Findings:
    """What one program's run shows: deviations in the order in which they were seen, and layers without a verdict."""

    at: Point
    deviations: list[Deviation] = field(default_factory=list)
    unjudged: dict[str, str] = field(default_factory=dict)

    def tell(self, layer: str, quantity: str, sentence: str) -> None:
        """Note a deviation."""
        self.deviations.append(Deviation(at=self.at, layer=layer, quantity=quantity, sentence=sentence))
