"""One side of a comparison of packages: a Python, and what stands before its own packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import qatrix
from qatrix.errors import EXIT_OK, EnvironmentUnusable, UsageError
from qatrix.execute.fingerprint import WATCHED

_VERSIONED: Final = "=="
# Packages that have no __init__.py.
_WITHOUT_INIT: Final = ("executorch",)
# What installs a package into a folder; uv is there where tox is.
_INSTALLERS: Final = ((sys.executable, "-m", "uv", "pip"), ("uv", "pip"), (sys.executable, "-m", "pip"))


@dataclass(frozen=True, kw_only=True)
class Side:
    """A Python with folders that stand before its packages; `name` is what the side is called."""

    name: str
    python: str
    folders: tuple[Path, ...] = ()

    def run(self, arguments: Sequence[str]) -> int:
        """Run `qatrix` with these arguments on this side; its exit code. Of what it prints errors and progress stay."""
        command = [self.python, "-m", "qatrix", *arguments]
        try:
            return subprocess.run(command, env=self._environment(), stdout=subprocess.DEVNULL, check=False).returncode  # noqa: S603 - our own
        except OSError as error:
            msg = f"{self.python} cannot be run: {error.strerror}; name the Python of an environment that has torch"
            raise UsageError(msg) from error

    def _environment(self) -> Mapping[str, str]:
        before = os.environ.get("PYTHONPATH")
        paths = [*map(str, self.folders), *([before] if before else [])]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def own_qatrix(folder: Path) -> Path:
    """A folder that holds this qatrix and nothing else, so that both sides are judged by one."""
    place = folder / "qatrix-alone"
    place.mkdir(parents=True, exist_ok=True)
    _link(place / "qatrix", Path(qatrix.__file__).resolve().parent)
    return place


def packages_in(checkout: Path, option: str = "--head") -> dict[str, Path]:
    """The packages of a checkout by name: folders with an `__init__.py` in it, or in its src/. Raises UsageError."""
    roots = [root for root in (checkout, checkout / "src") if root.is_dir()]
    found = {path.parent.name: path.parent for root in roots for path in sorted(root.glob("*/__init__.py"))}
    found |= {name: root / name for root in roots for name in _WITHOUT_INIT if (root / name).is_dir()}
    watched = {name: path for name, path in found.items() if name in WATCHED}
    if found:
        return watched or found
    msg = f"{option}: {checkout} holds no package; expected the folder that has torchao/, or your quantizer's package"
    raise UsageError(msg)


def overlay(folder: Path, packages: Mapping[str, Path], *, name: str) -> Path:
    """A folder that puts packages before those that are installed, each with a version that says so."""
    place = folder / name
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    for package, path in packages.items():
        _link(place / package, path.resolve())
        info = place / f"{package}-{_version(package)}+{name}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: {_version(package)}+{name}\n", encoding="utf-8"
        )
    return place


def installed(folder: Path, requirement: str) -> Path:
    """A folder with a package in a version, downloaded once. Raises UsageError, and EnvironmentUnusable."""
    package, separator, version = requirement.partition(_VERSIONED)
    if not separator or not package or not version:
        msg = f"--package: '{requirement}' has no version; expected NAME==VERSION, such as torchao==0.17.0"
        raise UsageError(msg)
    place = folder / f"{package}-{version}"
    if place.is_dir():
        return place
    making = folder / f".{package}-{version}"
    said = []
    for installer in _INSTALLERS:
        if shutil.which(installer[0]) is None:
            continue
        command = [*installer, "install", "--no-deps", "--target", str(making), requirement]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the user's own words
        if ended.returncode == EXIT_OK:
            making.rename(place)
            return place
        said.append((ended.stderr.strip().splitlines() or ["it says nothing"])[-1])
        shutil.rmtree(making, ignore_errors=True)
    msg = f"{requirement} cannot be installed: {'; '.join(dict.fromkeys(said)) or 'there is neither uv nor pip'}"
    raise EnvironmentUnusable(msg)


def place_of(package: str, folders: Sequence[Path]) -> Path | None:
    """Where a package is that stands in one of the folders, else where this environment has it."""
    for folder in folders:
        if (folder / package).is_dir():
            return folder / package
    found = importlib.util.find_spec(package)
    return Path(next(iter(found.submodule_search_locations))) if found and found.submodule_search_locations else None


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    link.symlink_to(target, target_is_directory=True)
