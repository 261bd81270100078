"""The verb that writes a check from the graph that a run makes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from qatrix.claims import BUILT_IN_CHECKS
from qatrix.cli import SET_UP, app
from qatrix.cli.again import one_case
from qatrix.cli.matrices import load_matrix
from qatrix.cli.options import AllowModules, Paths
from qatrix.errors import EXIT_OK, UsageError

if TYPE_CHECKING:
    from qatrix.cli.collaborators import Collaborators
    from qatrix.declare.spec import Matrix

_SUFFIXES: Final = (".yaml", ".yml")


@app.command("freeze-graph", rich_help_panel=SET_UP)
def freeze_graph(
    context: typer.Context,
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case id, or a glob that matches one case.")],
    paths: Paths = None,
    pipeline: Annotated[str, typer.Option("--pipeline", help="The pipeline that makes the graph.")] = "pt2e",
    stage: Annotated[
        Literal["prepare", "convert"], typer.Option("--stage", help="The graph after prepare, or after convert.")
    ] = "convert",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="The check's name. Default: suite, pattern, pipeline and stage."),
    ] = None,
    values: Annotated[
        bool,
        typer.Option("--values", help="Claim the numbers of scales and zero points, too; they depend on the inputs."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The YAML file to write. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    allow_module: AllowModules = None,
) -> int:
    """Write a check from the graph of a case.

    You do not have to count its ops by hand.

    The case runs once, in this process. The check claims how often each op occurs, all ops
    in their order, and the whole graph: which op reads which value, and how each tensor is
    quantized. A suite with this check fails if the graph changes. Scales and zero points
    are left out, because they depend on the inputs; --values claims them, too.

    \b
      qatrix freeze-graph 'conv_bn_fusion/conv_bn/*dim=2*per_channel*' --out matrix/frozen.yaml
      qatrix freeze-graph CASE --pipeline fx --stage prepare --name my_check
    """
    from qatrix.console import Console
    from qatrix.declare.transcripts import check_name, check_text, demand_name
    from qatrix.report.files import write_file

    tools: Collaborators = context.obj
    matrix = load_matrix(paths, allow_module)
    found = one_case(matrix, case)
    chosen = name or check_name(found, pipeline, stage)
    demand_name(chosen)
    _demand_free(matrix, chosen, out)
    _demand_writable(out, force=force)
    if pipeline not in found.pipelines:
        msg = f"{pipeline} does not run on {found.case_id}; expected --pipeline with {' or '.join(found.pipelines)}"
        raise UsageError(msg)
    packages = tools.environment().packages
    transcript = tools.transcribe(found, pipeline, stage, values)
    versions = ", ".join(f"{package} {packages[package]}" for package in ("torch", "torchao") if packages.get(package))
    origin = [f"The graph of {found.case_id}, with {versions}.", f"Written by: {shlex.join(['qatrix', *tools.argv])}"]
    text = check_text(transcript, found, name=chosen, pipeline=pipeline, at=stage, origin=origin)
    if out is None:
        Console().text(text.rstrip("\n"))
    else:
        write_file(out, text)
        Console().line(f"{out}: check {chosen}; the comment in it says how a suite makes it")
    return EXIT_OK


def _demand_free(matrix: Matrix, name: str, out: Path | None) -> None:
    """Raise UsageError where a check of that name is declared, but for one in the file that is written over."""
    if name in BUILT_IN_CHECKS:
        msg = f"--name: check '{name}' is made for every case without being declared; give another name"
        raise UsageError(msg)
    declared = matrix.checks.get(name)
    if declared is not None and (out is None or Path(declared.source.file).resolve() != out.resolve()):
        msg = f"a check '{name}' is already declared at {declared.source}; give another name with --name"
        raise UsageError(msg)


def _demand_writable(out: Path | None, *, force: bool) -> None:
    """Raise UsageError where the file is there already, is no YAML file, or has no folder."""
    if out is None:
        return
    if out.suffix not in _SUFFIXES:
        msg = f"--out: '{out}' is not a YAML file; expected a name such as frozen.yaml"
        raise UsageError(msg)
    if out.exists() and not force:
        msg = f"--out: {out} already exists, and nothing was written; name another file, or add --force"
        raise UsageError(msg)
    if not out.parent.is_dir():
        msg = f"--out: there is no folder {out.parent}; make it, or name a file in another one"
        raise UsageError(msg)
