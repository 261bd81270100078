"""What a case leaves behind is told and set back, kind by kind, and no later case sees any of it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
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
from qatrix.pipelines import PIPELINES
from qatrix.pipelines.models import build_model
from support import planted
from support.cases import factory_case, shipped_cases
from support.results import without_times

# No build for CPUs alone lets them be changed, or no process that has computed once.
UNCHANGEABLE = {"torch's legacy default device", "torch's number of threads between ops"}


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """As in a worker, all that a case imports is there before the first: importing some of it changes configurations."""
    for pipeline in PIPELINES.values():
        pipeline.missing()


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


# Small and mixed: equal, different, failing, left in float. None takes optimizer steps: those run before all others.
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
    "x86/conv/*",
    "joins/two_inputs_add/*",
)
QUANTIZER = "xnnpack_int8_per_channel_ptq"


@pytest.fixture(scope="module", name="followers")
def _followers() -> tuple[Case, ...]:
    groups = itertools.groupby(shipped_cases(*GLOBS), lambda case: case.suite)
    return tuple(case for _, cases in groups for case in itertools.islice(cases, 2))[:20]


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


@pytest.mark.torch
def test_a_case_that_leaves_a_trace_ends_well_and_fails_a_check_on_every_pipeline() -> None:
    record = run_case(planted_case("changing_how_tensors_are_printed"))
    told = "torch's way to print tensors has changed: changed 'precision'"

    assert record.traces == (told,)
    assert {(check.name, check.pipeline, check.status, check.message) for check in record.checks if check.status != "passed"} == {
        ("leaves_no_trace", "pt2e", "failed", told),
        ("leaves_no_trace", "fx", "failed", told),
    }  # fmt: skip
    assert record.verdict == "check_failed"
    assert {item.status for item in record.comparisons} == {"exact"}


@pytest.mark.torch
def test_a_case_that_is_invalid_for_its_own_reasons_stays_so_and_tells_its_traces() -> None:
    record = run_case(planted_case("changing_the_device_and_failing"))

    assert record.verdict == "invalid"
    assert record.traces == ("torch's default device was not set and is meta",)
    assert record.summary.endswith("; the case left changes behind: torch's default device was not set and is meta")
    assert torch.get_default_device() == torch.device("cpu")


IMPORTED = """
import os, warnings
from torch import nn

warnings.filterwarnings("ignore", category=UserWarning)
os.environ.setdefault("PLANTED_BY_IMPORT", "1")


def layer():
    return nn.Sequential(nn.Linear(4, 4))
"""


@pytest.mark.torch
@pytest.mark.usefixtures("kept")
def test_what_importing_a_module_does_is_no_trace_of_its_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ordinary_imports.py").write_text(IMPORTED)
    monkeypatch.syspath_prepend(tmp_path)
    case = factory_case("ordinary_imports.layer", [2, 4], QUANTIZER)
    first, second = run_case(case), run_case(case)

    assert (first.verdict, first.traces) == ("exact", ())
    assert (second.verdict, second.traces) == ("exact", ())
    assert os.environ["PLANTED_BY_IMPORT"] == "1"


@pytest.mark.torch
@pytest.mark.usefixtures("kept")
def test_a_module_that_cannot_be_imported_makes_its_case_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_imports.py").write_text("import os\nos.umask(0o077)\nraise RuntimeError('planted')\n")
    monkeypatch.syspath_prepend(tmp_path)
    record = run_case(factory_case("faulty_imports.layer", [2, 4], QUANTIZER))

    assert (record.verdict, record.traces) == ("invalid", ())
    assert record.summary.endswith("RuntimeError: planted")


def test_a_filter_of_warnings_is_told_in_words() -> None:
    watch = Watch([kind for kind in KINDS if kind.name == "warnings.filters"])
    warnings.filterwarnings("error", "old", UserWarning, "torch", 3)
    warnings.filters.insert(0, "no filter")  # type: ignore[attr-defined]  # it is a list

    (told,) = watch.restore()

    assert told.startswith("warnings.filters has changed: added 'no filter', a filter 'error' for UserWarning")
    assert told.endswith("that begins with 'old' in 'torch' at line 3")


@pytest.mark.torch
def test_a_model_draws_the_same_numbers_from_every_generator_whatever_ran_before() -> None:
    import random

    import numpy as np

    case = planted_case("drawing")
    weights = []
    for before in range(3):
        random.seed(before)
        np.random.seed(before)  # noqa: NPY002 - the old generator is meant
        weights.append([tensor.clone() for tensor in build_model(case).parameters()])

    assert all(torch.equal(left, right) for other in weights[1:] for left, right in zip(weights[0], other))


@pytest.mark.torch
def test_no_case_of_the_shipped_matrix_leaves_a_trace(alone: list[Record]) -> None:
    assert [record.case_id for record in alone if record.traces] == []
    assert len({record.verdict for record in alone}) > 3


def test_a_state_that_cannot_be_set_back_is_told_as_such() -> None:
    state = [1]
    refusing = Kind(name="a state", read=lambda: state[0], restore=lambda _: 1 / 0)
    lost = Kind(name="another state", read=lambda: state[0])
    broken = Kind(name="a broken state", read=lambda: 1 // (2 - state[0]))
    watch = Watch([refusing, lost, broken])
    state[0] = 2

    assert watch.restore() == (
        "a state was 1 and is 2, which cannot be set back: ZeroDivisionError: division by zero",
        "another state was 1 and is 2, which cannot be set back",
        "a broken state was 1 and is unreadable (ZeroDivisionError: integer division or modulo by zero), which cannot be set back",
    )


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ([1, 2], [2, 1], "it has changed: another order"),
        ([1], [1, 2, 3, 4, 5, 6], "it has changed: added 2, 3, 4 and 2 more"),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, "it has changed: added 'c'; changed 'b'; removed 'a'"),
        ([], Unreadable("OSError: gone"), "it was [] and is unreadable (OSError: gone)"),
    ],
)
def test_a_collection_is_told_by_what_differs(before: object, now: object, told: str) -> None:
    assert members_changed("it", before, now) == told


def test_what_torch_and_python_note_when_they_are_first_asked_is_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    watch = Watch()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.gettempdir()

    assert watch.restore() == ()
    assert os.environ.pop("TORCHINDUCTOR_CACHE_DIR") == tempfile.gettempdir()


def test_the_thread_that_watches_progress_bars_is_no_trace_and_another_one_is() -> None:
    done = threading.Event()
    monitor = type("TMonitor", (threading.Thread,), {"__module__": "tqdm._monitor"})(target=done.wait)
    other = threading.Thread(target=done.wait, name="left-behind")
    watch = Watch()

    monitor.start()
    assert watch.restore() == ()
    other.start()
    (told,) = watch.restore()
    later = Watch()
    done.set()
    for thread in (monitor, other):
        thread.join()

    assert "added 'left-behind'" in told
    assert later.restore() == (), "a thread of an earlier case that ends is no trace of this one"


# The memory of patterns imports nothing that pipelines do not import by themselves.
FIRST = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from qatrix.execute.case import run_case
from qatrix.pipelines.pattern_cache import pattern_cache
from support.cases import written_cases
(case,) = written_cases(Path({folder!r}), {text!r})
with pattern_cache():
    print(run_case(case, diagnose="never").traces)
"""


@pytest.mark.slow
def test_what_a_pipeline_imports_is_no_trace_of_the_first_case_of_a_process(tmp_path: Path) -> None:
    text = "suites: {s: {axes: {pattern: conv, dim: 1, quantizer: xnnpack_int8_per_channel_qat}}}"
    code = FIRST.format(path=sys.path, folder=str(tmp_path), text=text)
    ended = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)

    assert ended.stdout == "()\n"
