"""A test that has a model in hand asks of it what a matrix asks of declared ones."""

from __future__ import annotations

import copy
import logging
import random
import re
import tempfile
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qatrix.claims import Verdict
from qatrix.errors import UsageError
from qatrix.outcomes import NOT_RUN, UNREMARKABLE, Record

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qatrix.declare.spec import Case
    from qatrix.testing.declaring import Declaration

    Model = nn.Module | Callable[[], nn.Module]
    # A tensor; inputs by position, in their order; or inputs by keyword, by name.
    Inputs = Tensor | Sequence[Any] | Mapping[str, Any]

# Where torch writes hundreds of empty lines for tools of its own, which pytest would show of a test that fails.
_TRACE: Final = "torch.__trace"
QUANTIZER: Final = "xnnpack_int8_per_channel_ptq"


def assert_case(
    model: Model,
    inputs: Inputs,
    *,
    quantizer: str = QUANTIZER,
    pipelines: Sequence[str] | None = None,
    calibration: Sequence[Inputs] = (),
    device: str | None = None,
    tolerance: tuple[float, float] | None = None,
    matrix: Path | str | Sequence[Path | str] | None = None,
    allow_modules: Sequence[str] = (),
    expect: Verdict | None = None,
) -> Record:
    """Run a model through the pipelines, and raise AssertionError unless they agree and every check holds.

    The arguments are those of `run_model`. The message has the summary, the first layer at which
    the pipelines part, the cause, and what to do. With `expect`, such as "diverged", the case must
    have that verdict and no other. Where it cannot run here, the test is skipped (unittest.SkipTest,
    which pytest takes for its own).
    """
    __tracebackhide__ = True
    record = run_model(
        model,
        inputs,
        quantizer=quantizer,
        pipelines=pipelines,
        calibration=calibration,
        device=device,
        tolerance=tolerance,
        matrix=matrix,
        allow_modules=allow_modules,
    )
    if record.verdict in NOT_RUN:
        raise unittest.SkipTest(record.reason or record.summary)
    if record.verdict == expect or (expect is None and record.verdict in UNREMARKABLE):
        return record
    from qatrix.testing.wording import answer_text

    wanted = () if expect is None else (f"The test expects {expect}.",)
    raise AssertionError(answer_text(record, *wanted))


def run_model(
    model: Model,
    inputs: Inputs,
    *,
    quantizer: str = QUANTIZER,
    pipelines: Sequence[str] | None = None,
    calibration: Sequence[Inputs] = (),
    device: str | None = None,
    tolerance: tuple[float, float] | None = None,
    matrix: Path | str | Sequence[Path | str] | None = None,
    allow_modules: Sequence[str] = (),
) -> Record:
    """The record of a model that a test has in hand: the verdict, and all facts behind it.

    `model` is a module, which is copied and stays as it is, or a function or class that makes one.
    `inputs` are a tensor, a sequence of inputs by position, or a mapping of inputs by keyword;
    they may nest. `calibration` are more batches of the same structure: all calibrate, and the
    outputs for `inputs` are compared. `quantizer` and `device` are names that a matrix declares:
    `matrix` names its files or folders, and is ./matrix or else the one that comes with qatrix
    where it is left out. `pipelines` are pt2e and fx unless the test names others, `tolerance` is
    a pair of rtol and atol, and `allow_modules` are modules whose code that matrix may name.

    The case runs in this process, without a limit of time. What it needs, generators of random
    numbers and torch's threads among it, is set back. Raises UsageError where an argument is wrong.
    """
    from qatrix.testing.declaring import SUITE, Declaration

    __tracebackhide__ = True
    declaration = Declaration(
        pattern=f"{SUITE}_{_name(model)}",
        batches=(inputs, *calibration),
        quantizer=quantizer,
        pipelines=pipelines,
        device=device,
        tolerance=tolerance,
    )
    with tempfile.TemporaryDirectory(prefix="qatrix-") as folder:
        case = _declared(declaration, Path(folder), _paths(matrix), allow_modules)
        return _run(_holding(case, model))


def made(model: Model) -> nn.Module:
    """A model of a case: a copy of the module that a test has, or what its factory makes."""
    from torch import nn

    return copy.deepcopy(model) if isinstance(model, nn.Module) else model()


def _name(model: Any) -> str:
    """What a model is called in its case."""
    name = getattr(model, "__name__", type(model).__name__)
    return re.sub(r"\W", "_", name, flags=re.ASCII)


def _paths(matrix: Path | str | Sequence[Path | str] | None) -> list[Path]:
    from qatrix.cli.matrices import matrix_paths

    named = [matrix] if isinstance(matrix, str | Path) else [*(matrix or ())]
    return matrix_paths([Path(place) for place in named])


def _declared(declaration: Declaration, folder: Path, beside: Sequence[Path], allowed: Sequence[str]) -> Case:
    """The case beside what a matrix declares, of whose suites none is expanded. Raises UsageError."""
    from qatrix.cli.consents import allowed_modules
    from qatrix.cli.matrices import selected_cases
    from qatrix.declare.load import load
    from qatrix.declare.selection import Selection
    from qatrix.errors import DeclarationError
    from qatrix.testing.declaring import MAKER, SUITE
    from qatrix.testing.wording import problems_text

    __tracebackhide__ = True
    path = declaration.write(folder)
    loaded = load([*beside, path], allowed_modules=(*allowed_modules(allowed), MAKER))
    problems = loaded.problems
    if loaded.matrix is not None:
        alone = replace(loaded.matrix, suites={SUITE: loaded.matrix.suites[SUITE]}, expectations=())
        try:
            (case,) = selected_cases(alone, Selection.parse([SUITE])).cases
        except DeclarationError as error:
            problems = error.problems
        else:
            return case
    msg = f"the model cannot be declared as a case:\n{problems_text(problems)}"
    raise UsageError(msg)


def _holding(case: Case, model: Model) -> Case:
    """The case with the object itself, which no YAML could name, as the argument of what makes its model."""
    arguments: Any = {"model": model}
    return replace(case, pattern=replace(case.pattern, factory_args=arguments))


def _run(case: Case) -> Record:
    from qatrix.execute.options import Execution
    from qatrix.execute.workers import torch_ready

    with _undisturbed(), torch_ready(Execution()) as run:
        return run(case)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """What a case changes by intention is set back; a warning is no error within, whatever pytest says."""
    import numpy as np
    import torch

    trace = logging.getLogger(_TRACE)
    hushed = trace.disabled
    threads, drawn, state = torch.get_num_threads(), random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one is what cases seed
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            trace.disabled = True
            yield
    finally:
        trace.disabled = hushed
        torch.set_num_threads(threads)
        random.setstate(drawn)
        np.random.set_state(state)  # noqa: NPY002 - the same
