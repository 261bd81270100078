"""FX graph mode's handlers of a backend's config: made once, the same records, nothing left behind."""

from __future__ import annotations

import gc
import importlib
import weakref
from typing import Any

import pytest
from torch.ao.quantization import backend_config

from qatrix.execute.case import run_case
from qatrix.pipelines.handlers import handler_memory
from qatrix.pipelines.pattern_cache import pattern_cache
from support.cases import shipped_cases
from support.results import without_times

pytestmark = pytest.mark.torch

# The package has a function of the same name.
prepare: Any = importlib.import_module("torch.ao.quantization.fx.prepare")


def made(config: Any) -> dict[Any, Any]:
    handlers: dict[Any, Any] = prepare._get_pattern_to_quantize_handlers(config)
    return handlers


def test_handlers_are_made_once_for_a_config_and_anew_for_another() -> None:
    one, other = (backend_config.get_qnnpack_backend_config() for _ in range(2))
    with handler_memory():
        first, again, others = made(one), made(one), made(other)

    assert first == again
    assert first.keys() == others.keys()
    assert not set(first.values()) & set(others.values())


def test_who_gets_handlers_may_change_what_it_has_got() -> None:
    config = backend_config.get_qnnpack_backend_config()
    with handler_memory():
        made(config).clear()
        assert made(config)


def test_a_config_is_not_kept_alive() -> None:
    with handler_memory():
        config = backend_config.get_qnnpack_backend_config()
        made(config)
        alive = weakref.ref(config)
        del config
        gc.collect()

        assert alive() is None


def test_outside_the_block_torchs_own_is_in_its_place() -> None:
    torchs = prepare._get_pattern_to_quantize_handlers
    with handler_memory():
        assert prepare._get_pattern_to_quantize_handlers is not torchs

    assert prepare._get_pattern_to_quantize_handlers is torchs


@pytest.mark.xdist_group("patterns")
def test_a_case_has_the_same_record_both_ways() -> None:
    case, *_ = shipped_cases("training/conv_bn/*per_channel*")
    with pattern_cache():
        plain = run_case(case)
        with handler_memory():
            remembered = [run_case(case) for _ in range(2)]

    assert [without_times(record) for record in remembered] == 2 * [without_times(plain)]
