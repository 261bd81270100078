"""Which maker of cases a point goes to."""

from __future__ import annotations

import operator
from typing import Final

from qatrix.declare.expand import faults
from qatrix.declare.expand.cases import CaseMaker, Used
from qatrix.declare.expand.names import idle_axes
from qatrix.declare.expand.points import Block
from qatrix.declare.spec import TRAINING_AXES, Matrix, SuiteSpec
from qatrix.expressions import Value

# What of a point decides, beside its pattern, which training axes it takes.
_DECIDING: Final = ("quantizer", "train_steps")


class Makers:
    """The makers of one block, each made for the first point that needs it."""

    def __init__(self, matrix: Matrix, suite: SuiteSpec, *, block: Block, used: Used) -> None:
        self._matrix = matrix
        self._suite = suite
        self._block = block
        self._used = used
        self._dimless = faults.dimless(matrix, block)
        # A block without training axes has one maker for each pattern.
        trains = any(axis in block.names for axis in TRAINING_AXES)
        self._names = ("pattern", *(axis for axis in _DECIDING if trains and axis in block.names))
        self._key = operator.itemgetter(*map(block.names.index, self._names))
        self._known: dict[Value, CaseMaker | None] = {}

    def of(self, values: tuple[Value, ...]) -> CaseMaker | None:
        """The maker of the case at a point; None where its pattern lacks the dim that it takes."""
        key = self._key(values)
        if key not in self._known:
            self._known[key] = self._made(dict(zip(self._names, key if len(self._names) > 1 else (key,))))
        return self._known[key]

    def _made(self, deciding: dict[str, Value]) -> CaseMaker | None:
        pattern = str(deciding["pattern"])
        if pattern in self._dimless:
            return None
        idle: tuple[str, ...] = ()
        if "quantizer" in deciding:
            quantizer = self._matrix.quantizers[str(deciding["quantizer"])]
            idle = idle_axes(quantizer, deciding.get("train_steps", 0))
        return CaseMaker(
            self._matrix,
            self._suite,
            block=self._block,
            pattern=self._matrix.patterns[pattern],
            idle=idle,
            used=self._used,
        )
