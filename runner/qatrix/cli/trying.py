"""The verb that tries one model, without a line of YAML from its user."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qatrix.cli import RUN, app
from qatrix.cli.collaborators import Collaborators
from qatrix.cli.consents import allowed_modules
from qatrix.cli.matrices import matrix_paths, selected_cases, wanted_cases
from qatrix.cli.options import REPORTS, AllowModules, FailOn, Fresh, MemoryLimit, OutFolder, Paths, Timeout, Workers
from qatrix.cli.performing import Wanted, perform
from qatrix.cli.runs import ended
from qatrix.errors import DeclarationError, OutputError, UsageError
from qatrix.execute.options import limits
from qatrix.resources import folder
from qatrix.text import one_line

if TYPE_CHECKING:
    from qatrix.claims import Expectation
    from qatrix.console import Console
    from qatrix.declare.spec import Matrix
    from qatrix.declare.trial import Trial
    from qatrix.report.frames import ReportData

_SUFFIXES: Final = (".yaml", ".yml")
_QUANTIZER: Final = "xnnpack_int8_per_channel_ptq"


@app.command("try", rich_help_panel=RUN)
def try_model(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="MODULE:NAME of a class or function, or a registered name.")
    ],
    paths: Paths = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="An input: 1x3x224x224, or ids=2x16:int64 for a keyword argument. Repeatable. Default: the first "
            "calibration batch.",
        ),
    ] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", metavar="NAME=VALUE", help="An argument for MODEL, such as width=0.5. Repeatable."),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", metavar="FILE", help="The model's weights: .safetensors, .pt or .pth.")
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            metavar="DATA",
            help="Batches to calibrate with: .npz, .safetensors, .pt or .pth, or a folder.",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="NAME", help="With --calibrate: the tensor's name in the file.")
    ] = None,
    quantizer: Annotated[
        list[str] | None,
        typer.Option("--quantizer", metavar="NAME", help=f"A declared quantizer. Repeatable. Default: {_QUANTIZER}."),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="A declared device. Default: cpu.")
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE", help="Keep the declaration in this YAML file, such as mine.yaml."),
    ] = None,
    out: OutFolder = REPORTS,
    fail_on: FailOn = "unexpected",
    workers: Workers = None,
    timeout: Timeout = 600.0,
    memory_limit: MemoryLimit = None,
    fresh: Fresh = False,
    allow_module: AllowModules = None,
) -> int:
    """Try one of your models in both pipelines.

    It says whether they agree, and if not, why, and what to do.

    MODEL is imported from the current folder or from what is installed, or it is the name under
    which an installed distribution registers a model. If you name it here, you consent to run
    its code. Its weights are read as data. The report is in DIR/latest, and the declaration in
    DIR/try.yaml, or where --save says.

    \b
      qatrix try torchvision.models:mobilenet_v2 --input 1x3x224x224
      qatrix try my_package:build --weights w.safetensors --calibrate data/
      qatrix try my_package:Net --arg width=0.5 --input ids=2x16:int64 --save mine.yaml
    """
    from qatrix.console import Console
    from qatrix.declare.trial import TRY, Trial, TriedInput, arguments, model_path, suite_of, what_it_names

    _demand_there("--weights", weights)
    _demand_there("--calibrate", calibrate)
    tools: Collaborators = context.obj
    console = Console(answers=True)
    trial = Trial(
        model=model_path(model),
        arguments=arguments(arg or ()),
        inputs=tuple(map(TriedInput.of, inputs or ())),
        quantizers=tuple(quantizer or (_QUANTIZER,)),
        weights=weights,
        calibration=calibrate,
        key=key,
        device=device,
    )
    # As `python -m` does: people try what lies in front of them.
    sys.path.insert(0, str(Path.cwd()))
    written, beside = save or out / f"{TRY}.yaml", matrix_paths(paths)
    _write(trial, written, shlex.join(["qatrix", *tools.argv]), saved=save is not None)
    matrix = _loaded(written, beside, (*allowed_modules(allow_module), *trial.consents), saved=save is not None)
    # Named alone, the file is read without the matrix that comes with qatrix.
    alone = save is not None and beside == [folder("matrix")]
    if alone:
        with written.open("a", encoding="utf-8") as file:
            file.write(what_it_names(trial, matrix))
    selected = selected_cases(matrix, wanted_cases([suite_of(written)], None, None, pairwise=False, strength=None))
    options = limits(workers, timeout, memory_limit)
    wanted = Wanted(matrix=matrix, selected=selected, options=options, out=out, fresh=fresh)
    performed = perform(context, console, wanted, functools.partial(_answer, matrix.expectations))
    if save is not None:
        places = [save] if alone else [*(paths or ())] if _is_within(save, beside) else [*beside, save]
        case = [] if alone else ["--case", suite_of(save)]
        console.line(f"run it again with: {_again(trial, places, case, allow_module or ())}")
    elif not performed.interrupted:
        console.line(f"declared in {one_line(str(written))}; --save FILE keeps it")
    return ended(tools, console, performed, fail_on)


def _again(trial: Trial, places: Sequence[Path], case: Sequence[str], allowed: Sequence[str]) -> str:
    """The command that runs what was saved, as a shell takes it."""
    consents = [word for module in dict.fromkeys((*allowed, *trial.consents)) for word in ("--allow-module", module)]
    command = shlex.join(["qatrix", "run", *map(str, places), *case, *consents])
    return f"{'PYTHONPATH=. ' if any(map(_lies_here, trial.consents)) else ''}{one_line(command)}"


def _lies_here(model: str) -> bool:
    """Whether the module of a model is in the current folder, which other verbs do not search."""
    return PathFinder.find_spec(model.partition(".")[0], [str(Path.cwd())]) is not None


def _demand_there(option: str, path: Path | None) -> None:
    """Raise UsageError where nothing is at a path; the declaration would name it as seen from its own folder."""
    if path is not None and not os.path.lexists(path):
        msg = f"{option}: there is no such file: '{path}'; give its path as seen from the current folder"
        raise UsageError(msg)


def _write(trial: Trial, path: Path, command: str, *, saved: bool) -> None:
    """Write the declaration. Raises UsageError where a file that is to be kept is there already."""
    from qatrix.declare.trial import declaration

    if saved and path.exists():
        msg = f"--save: {path} already exists, and nothing was written; name another file"
        raise UsageError(msg)
    if path.suffix not in _SUFFIXES:
        msg = f"--save: '{path}' is not a YAML file; expected a name such as mine.yaml"
        raise UsageError(msg)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(declaration(trial, path, command), encoding="utf-8")
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise OutputError(msg) from error


def _loaded(path: Path, beside: Sequence[Path], allowed: Sequence[str], *, saved: bool) -> Matrix:
    """The declaration and what stands beside it; one that is to be kept is kept if nothing is wrong with it."""
    from qatrix.declare.load import load

    loaded = load([*beside, *([] if _is_within(path, beside) else [path])], allowed_modules=allowed)
    if loaded.matrix is None:
        if saved:
            path.unlink()
            # An empty matrix/ would stand in for the matrix that comes with qatrix.
            with contextlib.suppress(OSError):
                path.parent.rmdir()
        raise DeclarationError(loaded.problems)
    return loaded.matrix


def _is_within(path: Path, places: Sequence[Path]) -> bool:
    return any(place.resolve() in path.resolve().parents for place in places if place.is_dir())


def _answer(expectations: Sequence[Expectation], console: Console, data: ReportData, where: Path) -> None:
    """Print what there is to say of each case, and where the report is."""
    from qatrix.declare.expected import ExpectationTable
    from qatrix.judge.verdict import known_error
    from qatrix.report.answer import answer_lines

    environment = data.run.environment
    known = ExpectationTable(expectations, environment.packages, environment.cpu).holding
    for warning in data.run.warnings:
        console.note(f"warning: {warning}", style="yellow")
    for record in data.records:
        console.line()
        title, *lines = answer_lines(record, known_error(record, known))
        console.line(title, style="bold")
        for line in lines:
            console.paragraph(f"  {line}")
    console.line()
    console.line(f"report: {where / 'index.html'}")
