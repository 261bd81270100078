"""The pattern cache: same graphs, same numbers; nothing is patched outside its block."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from qatrix.pipelines import pattern_cache, torchenv
from qatrix.pipelines.pattern_cache.keys import key_of

pytestmark = pytest.mark.torch


class Exports:
    """Stands in for the export of a pattern, and counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, pattern: Any, example_inputs: tuple[Any, ...], is_cuda: bool = False, **kwargs: Any
    ) -> fx.GraphModule:
        self.count += 1
        return fx.symbolic_trace(torch.nn.Identity())


def pattern(scale: float) -> Any:
    def scaled(x: torch.Tensor) -> torch.Tensor:
        return x * scale

    return scaled


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pattern_cache, "_MEMO", {})
    monkeypatch.setattr(pattern_cache, "_WRITTEN", set())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_a_pattern_is_exported_once_and_every_caller_gets_a_copy() -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports)
    first, second = (lookup(pattern(2.0), (torch.zeros(3),)) for _ in range(2))

    assert exports.count == 1
    assert first is not second
    assert first.code == second.code


@pytest.mark.parametrize(
    ("closure", "inputs", "cuda", "kwargs"),
    [
        pytest.param(3.0, (torch.zeros(3),), False, {}, id="what the closure holds"),
        pytest.param(2, (torch.zeros(3),), False, {}, id="an int for a float"),
        pytest.param(2.0, (torch.zeros(4),), False, {}, id="shape"),
        pytest.param(2.0, (torch.zeros(3, dtype=torch.float64),), False, {}, id="dtype"),
        pytest.param(2.0, (torch.zeros(3),), True, {}, id="is_cuda"),
        pytest.param(2.0, (torch.zeros(3),), False, {"scale": torch.ones(1)}, id="keyword arguments"),
    ],
)
def test_what_a_graph_depends_on_is_in_the_key(closure: Any, inputs: Any, cuda: bool, kwargs: Any) -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports)
    lookup(pattern(2.0), (torch.zeros(3),))
    lookup(pattern(closure), inputs, cuda, **kwargs)

    assert exports.count == 2


def test_the_values_of_example_inputs_are_not_in_the_key() -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports)
    lookup(pattern(2.0), (torch.zeros(3),))
    lookup(pattern(2.0), (torch.rand(3),))

    assert exports.count == 1


@pytest.mark.parametrize(
    "held",
    [pytest.param(object(), id="an unknown object"), pytest.param(torch.nn.Linear(1, 1), id="a module with weights")],
)
def test_a_pattern_whose_value_cannot_be_told_is_exported_every_time(held: Any) -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports)
    for _ in range(2):
        lookup(pattern(held), (torch.zeros(3),))

    assert exports.count == 2


def test_equal_functions_of_two_packages_are_told_apart() -> None:
    def pattern(x: torch.Tensor) -> torch.Tensor:
        return x + 1

    elsewhere = types.FunctionType(pattern.__code__.replace(co_filename="/elsewhere.py"), globals())
    keys = {key_of(one, (), is_cuda=False, keywords={}) for one in (pattern, elsewhere)}

    assert elsewhere.__code__ == pattern.__code__
    assert len(keys) == 2


def test_nothing_is_patched_outside_the_block() -> None:
    def bound() -> list[Any]:
        return [getattr(module, torchenv.PATTERN_FUNCTION) for module in torchenv.pattern_modules()]

    before = bound()
    with pattern_cache.pattern_cache() as reason:
        inside = bound()

    assert reason is None
    assert all(one is not other for one, other in zip(before, inside))
    assert bound() == before


def test_where_the_release_lacks_the_function_the_cache_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchenv.patterns, "pattern_modules", lambda: (types.ModuleType("empty"),))
    with pattern_cache.pattern_cache() as reason:
        assert (
            reason
            == "the pattern cache does not apply, so that cases are slow: torchao has no _get_aten_graph_module_for_pattern"
        )


def test_where_torchao_is_missing_the_cache_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> tuple[types.ModuleType, ...]:
        msg = "torchao cannot be imported"
        raise torchenv.PackageMissing(msg)

    monkeypatch.setattr(torchenv.patterns, "pattern_modules", missing)
    with pattern_cache.pattern_cache() as reason:
        assert reason == "the pattern cache does not apply, so that cases are slow: torchao cannot be imported"


def test_callers_that_only_read_share_the_graph() -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports, shared=True)
    first, second = (lookup(pattern(2.0), (torch.zeros(3),)) for _ in range(2))

    assert first is second


def test_a_shared_graph_that_was_written_to_is_not_handed_out_again() -> None:
    exports = Exports()
    lookup = pattern_cache.memoised(exports, shared=True)
    written = lookup(pattern(2.0), (torch.zeros(3),))
    placeholder, *_ = written.graph.nodes
    placeholder.meta["written"] = True
    anew, again = (lookup(pattern(2.0), (torch.zeros(3),)) for _ in range(2))

    assert exports.count == 2
    assert not any("written" in node.meta for node in anew.graph.nodes)
    # From then on the caller may write: it gets copies.
    assert again is not anew
