"""Code that is written late: what torch would have written, when it would have, of the graph as it was then."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import fx, nn

from qatrix.execute.case import run_case
from qatrix.pipelines.late_code import late_code, through_passes, unwritten
from qatrix.pipelines.pattern_cache import pattern_cache
from support.cases import shipped_cases
from support.results import without_times

pytestmark = pytest.mark.torch

Pass = Callable[[fx.GraphModule], object]
X = torch.tensor([-1.0, 2.0])


class Nested(nn.Module):
    """A graph module within another."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the inner one gives, and one more."""
        return torch.add(self.inner(x), 1)


class Whole(fx.Tracer):
    """Traces modules as calls."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """All are."""
        del m, module_qualified_name
        return True


def doubled(x: torch.Tensor) -> torch.Tensor:
    return torch.mul(x, 2)


def nested() -> fx.GraphModule:
    model = Nested(fx.symbolic_trace(doubled))
    return fx.GraphModule(model, Whole().trace(model))


def shifted(module: fx.GraphModule, by: int) -> None:
    """Add another number where the graph adds or multiplies, without a word to the module."""
    for node in module.graph.nodes:
        if node.op == "call_function":
            node.args = (node.args[0], by)


def recompiled(module: fx.GraphModule, *numbers: int) -> None:
    for number in numbers:
        shifted(module, number)
        module.recompile()


def stale(module: fx.GraphModule) -> None:
    recompiled(module, 3, 4)
    shifted(module, 5)
    module.graph.eliminate_dead_code()


def renamed(module: fx.GraphModule) -> None:
    recompiled(module, 3)
    for node in module.graph.nodes:
        node.name = f"{node.name}_of_mine"


def inner_changed(module: fx.GraphModule) -> None:
    recompiled(module, 3)
    shifted(module.get_submodule("inner"), 7)  # type: ignore[arg-type]


def grown(module: fx.GraphModule) -> None:
    recompiled(module, 3)
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    with module.graph.inserting_before(output):
        module.graph.call_function(torch.neg, (output.args[0],))


PASSES = [stale, renamed, inner_changed, grown, lambda module: recompiled(module, 3, 4), lambda module: module]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The graphs that are written as text, by their modules' names."""
    written: list[str] = []
    python_code = fx.Graph.python_code

    def counting(graph: fx.Graph, *args: Any, **options: Any) -> Any:
        written.append("graph")
        return python_code(graph, *args, **options)

    monkeypatch.setattr(fx.Graph, "python_code", counting)
    return written


@pytest.fixture
def late() -> Iterator[None]:
    with late_code():
        yield


def through(module: fx.GraphModule, *passes: Pass) -> fx.GraphModule:
    def make() -> nn.Module:
        for one in passes:
            one(module)
        return module

    made = through_passes(make)
    assert isinstance(made, fx.GraphModule)
    return made


@pytest.mark.parametrize("change", PASSES)
def test_passes_give_the_code_and_the_values_that_they_give_without(change: Pass) -> None:
    plain = through(nested(), change)
    with late_code():
        made = through(nested(), change)

    assert made.code == plain.code
    assert made.inner.code == plain.inner.code  # type: ignore[union-attr]
    assert torch.equal(made(X), plain(X))
    assert [node.format_node() for node in made.graph.nodes] == [node.format_node() for node in plain.graph.nodes]


@pytest.mark.usefixtures("late")
def test_only_what_the_last_pass_leaves_is_written(counted: list[str]) -> None:
    module = fx.symbolic_trace(doubled)
    counted.clear()
    through(module, lambda module: recompiled(module, *range(10)))

    assert len(counted) == 1
    assert module(X).tolist() == [-9, 18]


@pytest.mark.usefixtures("late")
def test_outside_of_passes_code_is_written_at_once(counted: list[str]) -> None:
    module = fx.symbolic_trace(doubled)
    counted.clear()
    recompiled(module, *range(10))

    assert len(counted) == 10


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize(
    "look",
    [
        pytest.param(lambda module: module(X).tolist(), id="a call"),
        pytest.param(lambda module: copy.deepcopy(module)(X).tolist(), id="a copy"),
        pytest.param(lambda module: fx.symbolic_trace(module)(X).tolist(), id="a trace"),
        pytest.param(lambda module: pickle.loads(pickle.dumps(module))(X).tolist(), id="a pickle"),
        pytest.param(lambda module: type(module).forward(module, X).tolist(), id="the class's forward"),
    ],
)
def test_whoever_looks_between_two_passes_sees_the_code_of_that_moment(look: Callable[[Any], object]) -> None:
    seen: list[object] = []
    module = fx.symbolic_trace(doubled)
    through(module, lambda module: recompiled(module, 3), lambda module: seen.append(look(module)), stale)

    assert seen == [[-3, 6]]
    assert module(X).tolist() == [-4, 8]


@pytest.mark.usefixtures("late")
def test_the_result_of_recompiling_and_the_signature_are_those_of_that_moment() -> None:
    texts: list[str] = []
    module = fx.symbolic_trace(doubled)

    def keeping(module: fx.GraphModule) -> None:
        shifted(module, 3)
        code = module.recompile()
        recompiled(module, 4)
        texts.extend((code.src, module.code, *inspect.signature(module.forward).parameters))

    through(module, keeping)

    assert ["mul(x, 3)" in texts[0], "mul(x, 4)" in texts[1], texts[2]] == [True, True, "x"]


@pytest.mark.usefixtures("late")
def test_what_is_made_unwritten_is_written_when_it_is_called_at_last(counted: list[str]) -> None:
    module = unwritten(fx.symbolic_trace, doubled)

    assert counted == []
    assert module(X).tolist() == [-2, 4]
    assert len(counted) == 1


@pytest.mark.usefixtures("late")
def test_a_pass_that_raises_leaves_code_written_at_once(counted: list[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        through(fx.symbolic_trace(doubled), lambda _: 1 / 0)
    counted.clear()
    fx.symbolic_trace(doubled)

    assert counted


def test_outside_the_block_torchs_own_is_in_its_place() -> None:
    torchs = fx.GraphModule.recompile
    with late_code():
        assert fx.GraphModule.recompile is not torchs

    assert fx.GraphModule.recompile is torchs


@pytest.mark.xdist_group("patterns")
def test_a_case_has_the_same_record_both_ways() -> None:
    case, *_ = shipped_cases("training/conv_bn/*per_channel*")
    with pattern_cache():
        plain = run_case(case)
        with late_code():
            late = run_case(case)

    assert without_times(late) == without_times(plain)
