"""What a case leaves behind is told and set back, kind by kind, and no later case sees any of it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qatrix.declare.spec import Case
from qatrix.execute.case import run_case
from qatrix.execute.options import Execution
from qatrix.execute.traces import KINDS, Kind, Watch
from qatrix.execute.traces.kinds import Unreadable, members_changed
from qatrix.execute.workers import execute
from qatrix.outcomes import Record
from support import planted
from support.cases import factory_case, shipped_cases
from support.results import without_times

# No build for CPUs alone lets them be changed, or no process that has computed once.
UNCHANGEABLE = {"torch's legacy default device", "torch's number of threads between ops"}


@pytest.fixture(name="kept")
def _kept() -> Iterator[None]:
    """Whatever a test leaves on is set back."""
    outer = Watch()
    yield
    while planted.KEPT:
        planted.KEPT.pop().__exit__(None, None, None)
    outer.restore()


def tells(told: Sequence[str], name: str) -> bool:
    return any(sentence.startswith(f"{name} ") for sentence in told)


def test_every_kind_can_be_read_and_is_planted() -> None:
    assert not [kind.name for kind in KINDS if isinstance(kind.now(), Unreadable)]
    assert {kind.name for kind in KINDS} - set(planted.CHANGES) - UNCHANGEABLE == set()


def test_what_has_not_changed_is_not_told() -> None:
    assert Watch().restore() == ()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("name", sorted(set(planted.CHANGES) - planted.LASTING))
def test_each_kind_is_told_and_set_back(name: str) -> None:
    watch = Watch()
    planted.CHANGES[name]()
    told = watch.restore()

    assert tells(told, name)
    assert not [sentence for sentence in told if "cannot be set back" in sentence]
    assert watch.restore() == ()


@pytest.mark.usefixtures("kept")
def test_all_kinds_at_once_are_told_and_set_back() -> None:
    watch = Watch()
    for name, change in planted.CHANGES.items():
        if name not in planted.LASTING:
            change()
    told = watch.restore()

    assert {name for name in planted.CHANGES if not tells(told, name)} == planted.LASTING
    assert watch.restore() == ()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    "change",
    [
        lambda: torch._C._set_cublas_allow_tf32(True),
        lambda: torch._C._set_cudnn_allow_tf32(False),
        lambda: torch._C._set_fp32_precision_setter("generic", "all", "tf32"),
        lambda: torch._C._set_fp32_precision_setter("mkldnn", "conv", "bf16"),
    ],
)
def test_the_precision_of_float32_is_set_back_whichever_way_it_was_set(change: Callable[[], object]) -> None:
    watch = Watch()
    change()

    assert ["torch's precision of float32" in sentence for sentence in watch.restore()] == [True]
    assert watch.restore() == ()


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("name", sorted(planted.LASTING))
def test_what_only_the_end_of_the_process_takes_away_is_told(name: str) -> None:
    watch = Watch()
    planted.CHANGES[name]()
    told = watch.restore()

    assert [sentence for sentence in told if name in sentence and sentence.endswith("which cannot be set back")]


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("torch's default device", "torch's default device was not set and is meta"),
        (
            "torch's deterministic algorithms",
            "torch's deterministic algorithms were off and are on, with warnings alone",
        ),
        ("torch's function modes", "torch's function modes were none and are Passing"),
        ("sys.path", "sys.path has changed: added '/elsewhere'"),
        ("the environment", "the environment has changed: added 'PLANTED'; changed 'HOME'"),
        ("torch._dynamo.config", "torch._dynamo.config has changed: added 'verbose'"),
        (
            "the set of running threads",
            "the set of running threads has changed: added 'left over', which cannot be set back",
        ),
    ],
)
def test_a_change_is_a_sentence(name: str, sentence: str) -> None:
    watch = Watch([kind for kind in KINDS if kind.name == name])
    planted.CHANGES[name]()

    assert watch.restore() == (sentence,)


# Small and mixed: trained or not, of both pipelines and one, equal, different and failing.
GLOBS = (
    "conv_no_bias/*",
    "conv_bn_fusion/*dim=1*",
    "ptq/conv/*dim=2*",
    "linear_dynamic_declared/*",
    "fixed_scales/*",
    "x86_dynamic/one_linear/*",
    "float16/conv/*",
    "dimension_3/conv/*",
    "conv_transpose_numerics/conv/*dim=1*",
    "linears/one_linear/*",
)
QUANTIZER = "xnnpack_int8_per_channel_ptq"


@pytest.fixture(scope="module", name="followers")
def _followers() -> tuple[Case, ...]:
    return tuple(case for case in shipped_cases(*GLOBS) if case.device.name == "cpu")[:20]


@pytest.fixture(scope="module", name="alone")
def _alone(followers: tuple[Case, ...]) -> list[Record]:
    """The records of these cases where nothing runs before them."""
    return [without_times(record) for record in execute(followers, options=Execution(workers=1), on_start=ignore)]


def ignore(_: Case) -> None:
    """What a run does when a case starts."""


def planted_case(name: str) -> Case:
    return factory_case(f"support.planted.{name}", [2, 4], QUANTIZER)


def after(planted_name: str, followers: Sequence[Case], workers: int) -> tuple[Record, list[Record]]:
    """The record of a planted case, and those of the cases that the same worker ran after it."""
    options = Execution(workers=workers, timeout=300)
    first, *others = execute([planted_case(planted_name), *followers], options=options, on_start=ignore)
    return first, [without_times(record) for record in others]


@pytest.mark.torch
@pytest.mark.slow
@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("name", "workers"), [("changing_everything", 0), ("changing_everything", 1), ("replacing_functions", 1)]
)
def test_the_cases_after_one_that_changes_everything_are_as_they_are_alone(
    followers: tuple[Case, ...], alone: list[Record], name: str, workers: int
) -> None:
    first, others = after(name, followers, workers)

    assert len(others) == 20
    assert others == alone
    if name == "changing_everything":
        assert {kind for kind in planted.CHANGES if not tells(first.traces, kind)} == planted.LASTING
