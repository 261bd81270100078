"""Programs that are saved and loaded."""

from __future__ import annotations

import pytest
from torch import fx

from qatrix.pipelines.runtimes.exported import runtime
from support.converted import small

pytestmark = pytest.mark.torch


def size(stack_trace: str) -> int | None:
    """The size of the file of a program whose ops are noted to come from there."""
    program, _ = small("linear")
    assert isinstance(program.module, fx.GraphModule)
    for node in program.module.graph.nodes:
        node.meta["stack_trace"] = stack_trace
    return runtime({}).lower(program).ran().size_bytes


def test_the_size_of_the_file_does_not_depend_on_where_ops_are_noted_to_come_from() -> None:
    assert size("here") == size("somewhere else " * 1000)
