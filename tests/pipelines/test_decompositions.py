"""Tables of decompositions: ops are looked up once, and the tables and programs are the same as without that."""

from __future__ import annotations

import types
import typing
from typing import Any

import pytest
import torch
import torch._ops
from torch import nn

from qatrix.pipelines import torchenv
from qatrix.pipelines.decompositions import as_one_walk, once_a_walk, quick_decompositions

pytestmark = pytest.mark.torch

WALK = "_collect_all_valid_cia_ops"
LOOK_UP = "_materialize_cpp_cia_ops"


@pytest.fixture
def utils() -> Any:
    module = torchenv.decomposers()[0]
    if not (hasattr(module, WALK) and hasattr(module, LOOK_UP)):
        pytest.skip("this release fills its tables otherwise")
    return module


@pytest.fixture
def looked_up(utils: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each time that all ops are looked up."""
    found: list[int] = []
    look_up = getattr(utils, LOOK_UP)

    def counting() -> None:
        found.append(len(found))
        look_up()

    monkeypatch.setattr(utils, LOOK_UP, counting)
    return found


def test_a_walk_looks_ops_up_once_and_finds_the_same(utils: Any, looked_up: list[int]) -> None:
    plain = getattr(utils, WALK)()
    before = len(looked_up)
    with quick_decompositions():
        quick = getattr(utils, WALK)()
        first = len(looked_up) - before
        getattr(utils, WALK)()

    assert before > 1
    assert first == 1
    assert len(looked_up) - before == 2
    assert quick == plain


def test_an_op_that_is_new_is_found_by_the_next_walk(utils: Any) -> None:
    with quick_decompositions():
        before = getattr(utils, WALK)()
        with torch.library._scoped_library("qatrix_new", "DEF") as library:
            library.define("twice(Tensor x) -> Tensor")
            library.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
            after = getattr(utils, WALK)()

    assert {op.name() for op in after - before} == {"qatrix_new::twice"}


def test_programs_are_decomposed_alike() -> None:
    program = torch.export.export(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2)), (torch.ones(1, 1, 2, 2),)
    )
    plain = program.run_decompositions()
    with quick_decompositions():
        quick = program.run_decompositions()

    assert str(quick.graph) == str(plain.graph)


def test_all_is_as_it_was_outside_the_block() -> None:
    before = [(getattr(module, WALK, None), getattr(module, LOOK_UP, None)) for module in torchenv.decomposers()]
    annotation = vars(torch._ops).get("Callable")
    with quick_decompositions(), quick_decompositions():
        assert vars(torch._ops).get("Callable") in {None, typing.Callable}

    assert [
        (getattr(module, WALK, None), getattr(module, LOOK_UP, None)) for module in torchenv.decomposers()
    ] == before
    assert vars(torch._ops).get("Callable") is annotation


def test_a_release_that_fills_its_tables_otherwise_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    other = types.ModuleType("another")
    monkeypatch.setattr(torchenv, "decomposers", lambda: (other, None, None))
    with quick_decompositions():
        assert not hasattr(other, WALK)


def test_ops_are_looked_up_again_where_no_walk_is_under_way() -> None:
    found: list[int] = []
    look_up = once_a_walk(lambda: found.append(len(found)))
    look_up()
    look_up()
    as_one_walk(lambda: [look_up() for _ in range(3)])()

    assert len(found) == 3
