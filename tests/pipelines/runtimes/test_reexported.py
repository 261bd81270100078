"""A program that is exported again computes what it did."""

from __future__ import annotations

import pytest
import torch
from torch.utils import _pytree as pytree

from qatrix.lowerings import Ran
from qatrix.pipelines.runtimes.reexported import runtime
from support.converted import nested, outputs_of

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("strict", [True, False])
def test_exported_again_a_program_gives_the_same_bits(*, strict: bool) -> None:
    program, _ = nested()

    lowered = runtime({"strict": strict}).lower(program)
    output = lowered.run(program.inputs)

    assert all(map(torch.equal, pytree.tree_leaves(output), outputs_of(program.module, program.inputs)))
    assert pytree.tree_structure(output) == pytree.tree_structure(program.inputs.call(program.module))
    assert lowered.ran() == Ran()


def test_it_comes_with_torch() -> None:
    assert (runtime({"strict": True}).missing(), runtime({"strict": True}).version()) == (None, None)
