"""Patterns exported ahead: the requests of a whole case are known without an export, and the work is shared."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import fx

from qatrix.pipelines import pattern_cache, torchenv
from qatrix.pipelines.pattern_cache import ahead
from qatrix.pipelines.pattern_cache.keys import key_of
from qatrix.pipelines.traced import Sine

pytestmark = pytest.mark.torch


class Exports:
    """Stands in for the installed export, and counts the patterns that it is asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        (self.real, *_) = (getattr(module, torchenv.PATTERN_FUNCTION) for module in torchenv.pattern_modules())
        self.__module__ = self.real.__module__
        self.graph: fx.GraphModule = self.real(Sine(), (torch.ones(1),))

    def __call__(self, pattern: Any, inputs: tuple[Any, ...], is_cuda: bool = False, **keywords: Any) -> fx.GraphModule:
        if not isinstance(pattern, Sine):
            self.asked.append(key_of(pattern, inputs, is_cuda=is_cuda, keywords=keywords))
        return copy.deepcopy(self.graph)


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exports:
    monkeypatch.setattr(pattern_cache, "_MEMO", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    counted = Exports()
    for module in torchenv.pattern_modules():
        monkeypatch.setattr(module, torchenv.PATTERN_FUNCTION, counted)
    return counted


def ask(request: ahead.Request) -> None:
    """What a case does first."""
    with pattern_cache.pattern_cache():
        module, *_ = torchenv.pattern_modules()
        getattr(module, torchenv.PATTERN_FUNCTION)(*request.arguments, **request.keywords)


def requested(exports: Exports) -> list[ahead.Request]:
    return ahead.requests(exports, torchenv.pattern_modules(), pattern_cache._stand_in)


def test_the_requests_of_a_case_are_found_without_exporting_them(exports: Exports) -> None:
    found = requested(exports)

    assert len(found) > 100
    assert exports.asked == []


def test_looking_for_requests_leaves_the_random_numbers_as_they_were(exports: Exports) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    requested(exports)

    assert torch.equal(torch.rand(3), expected)


def test_a_missing_pattern_has_all_exported_each_once(exports: Exports) -> None:
    found = requested(exports)
    ask(found[0])

    assert len(exports.asked) == len({str(key) for key in exports.asked}) == len(found)


def test_what_another_process_has_filed_is_not_exported(exports: Exports, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = requested(exports)
    ask(first)
    monkeypatch.setattr(pattern_cache, "_MEMO", {})
    pattern_cache._export_ahead.cache_clear()
    exports.asked.clear()
    ask(first)

    assert exports.asked == []


def test_the_export_of_another_pt2e_gets_no_requests(exports: Exports) -> None:
    exports.__module__ = "another.package"

    assert requested(exports) == []


def test_where_the_release_does_not_get_along_with_it_patterns_are_exported_as_asked_for(
    exports: Exports, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = requested(exports)
    monkeypatch.setattr(ahead, "_quantize", lambda: 1 / 0)
    ask(first)

    assert len(exports.asked) == 1


def test_every_process_has_an_order_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = [ahead.Request(arguments=(number,), keywords={}) for number in range(100)]
    orders = []
    for process in (1, 2):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        orders.append([item.arguments[0] for item in ahead.shuffled(requests)])

    assert orders[0] != orders[1]
    assert [sorted(order) for order in orders] == [list(range(100))] * 2
