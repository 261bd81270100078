"""The verb about the environment: doctor."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import typer

from qatrix import __version__
from qatrix.cli import SET_UP, app
from qatrix.cli.collaborators import INSTALL, PACKAGES, Collaborators
from qatrix.errors import EXIT_OK, EnvironmentUnusable

if TYPE_CHECKING:
    from qatrix.console import Console
    from qatrix.pipelines.torchenv import Package
    from qatrix.quantizers import BuiltIn

# Other kinds are listed only where they exist, because few machines have them.
_DEVICES: Final = ("cuda", "xpu", "mps")


@app.command(rich_help_panel=SET_UP)
def doctor(context: typer.Context) -> int:
    """Print what this environment has and what it lacks.

    It lists versions, devices, engines, pipelines, quantizers, runtimes and models.

    The exit code is 3 if no pipeline can run.
    """
    from qatrix.console import Console

    console = Console()
    tools: Collaborators = context.obj
    console.line(f"qatrix {__version__}, python {platform.python_version()} on {platform.platform()}")
    try:
        environment = tools.environment()
    except EnvironmentUnusable:
        for name in PACKAGES:
            console.line(f"{name} {_version(name) or f'is not installed; install it with: {INSTALL}'}")
        raise
    from qatrix.pipelines.torchenv import packages

    found = packages()
    for package in found:
        console.line(_told(package), style="yellow" if package.command else "")
    for name, text in environment.devices.items():
        console.line(f"device {name}: {text}")
    console.line(f"processor features: {environment.cpu_words}")
    usable = _pipelines(console)
    console.line(_missing(found))
    if not usable:
        msg = "no pipeline can run here"
        raise EnvironmentUnusable(msg)
    return EXIT_OK


def _version(package: str) -> str | None:
    """The installed version of a package that may not import; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _told(package: Package) -> str:
    note = "" if package.note is None else f", {package.note}"
    return f"{package.name} {package.version or 'is not installed'}{note}"


def _missing(packages: Sequence[Package]) -> str:
    commands = [item.command for item in packages if item.command is not None]
    return "\n".join(("install what is missing with:", *commands)) if commands else "nothing is missing"


def _pipelines(console: Console) -> bool:
    """Print what can be run and with what; whether anything can."""
    from qatrix.pipelines import PIPELINES
    from qatrix.pipelines.torchenv import capture_name, device_missing, engines, pattern_functions

    for kind in _DEVICES:
        if (absent := device_missing(kind)) is not None:
            console.line(f"device {kind}: {absent}")
    console.line(f"quantized engines: {', '.join(engines())}")
    console.line(f"models are captured with {capture_name()}")
    reasons = {name: pipeline.missing() for name, pipeline in PIPELINES.items()}
    for name, reason in reasons.items():
        console.line(f"pipeline {name}: {reason or 'ready'}", style="yellow" if reason else "green")
    for line, usable in _named_in_yaml():
        console.line(line, style="green" if usable else "yellow")
    console.line(pattern_functions()[0] or "pattern cache: applies")
    return not all(reasons.values())


def _named_in_yaml() -> Iterator[tuple[str, bool]]:
    """A line for each quantizer and runtime, and each registered pipeline and model, and whether it can be used.

    Of registered ones only the metadata is read: their code runs with cases alone.
    """
    from qatrix import runtimes, ways
    from qatrix.declare.registrations import MODELS, PIPELINES, QUANTIZERS, RUNTIMES
    from qatrix.quantizers import BUILT_IN

    yield from _registered("pipeline", PIPELINES, ways.BUILT_IN)
    yield from (_built_in(name, known) for name, known in BUILT_IN.items())
    yield from _registered("quantizer", QUANTIZERS, BUILT_IN)
    yield from map(_runtime, runtimes.BUILT_IN)
    yield from _registered("runtime", RUNTIMES, runtimes.BUILT_IN)
    yield from _registered("model", MODELS, ())


def _registered(word: str, group: str, built_in: Collection[str]) -> Iterator[tuple[str, bool]]:
    from qatrix.declare.registrations import sorted_registrations, unique_name

    for item in sorted_registrations(group):
        whose = f"registered by {item.distribution} {item.version} as {item.module}:{item.attribute}"
        found = _is_there(item.module.partition(".")[0])
        name = unique_name(item, group, built_in)
        yield f"{word} {name}: {whose}{'' if found else ', whose package is not found'}", found


def _built_in(name: str, known: BuiltIn) -> tuple[str, bool]:
    from qatrix.pipelines.torchenv import PackageMissing, pt2e_api

    try:
        package = pt2e_api().quantizer_module(known).__name__.partition(".")[0]
    except PackageMissing as error:
        return f"quantizer {name}: {error}", False
    return f"quantizer {name}: of {package} {_version(package)}", True


def _runtime(name: str) -> tuple[str, bool]:
    """A built-in runtime with its default options."""
    from qatrix.declare.spec import RuntimeUse
    from qatrix.pipelines.runtimes import runtime_of
    from qatrix.runtimes import BUILT_IN

    known = BUILT_IN[name]
    if known.file is not None:
        return f"runtime {name}: {known.about}; it comes with qatrix", True
    options = {option: values[0] for option, values in known.options.items()}
    runtime = runtime_of(RuntimeUse(runtime=name, options=options))
    if (reason := runtime.missing()) is not None:
        return f"runtime {name}: {reason}", False
    version = runtime.version()
    return f"runtime {name}: {known.about}; {'it comes with torch' if version is None else f'version {version}'}", True


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False
