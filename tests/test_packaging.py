"""Packaging: the wheel carries matrix and templates and works in an empty folder; the sdist holds what is named."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from qatrix import __version__

ROOT = Path(__file__).parents[1]
# Seconds after which a command hangs, on any machine.
PATIENCE = 600


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"])
    return Path(built)


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """A folder with the wheel's content, as an installation puts it."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(wheel.parent / "site")
    return wheel.parent / "site"


def packed(wheel: Path) -> set[str]:
    """The names of its files: in a folder, Python adds what it compiles."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("/")}


def qatrix(installed: Path, folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "NO_COLOR": "1"}
    command = [sys.executable, "-c", "import sys, qatrix.cli; sys.path.pop(0); qatrix.cli.main()", *argv]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def test_the_wheel_holds_the_matrix_and_the_templates_and_no_tests(wheel: Path) -> None:
    packaged = packed(wheel)
    shipped = {f"qatrix/matrix/{path.relative_to(ROOT / 'matrix')}" for path in (ROOT / "matrix").rglob("*.yaml")}

    assert shipped <= packaged
    assert "qatrix/templates/report.html.j2" in packaged
    assert "qatrix/py.typed" in packaged
    assert not any(name.startswith(("tests/", "docs/")) for name in packaged)


def test_the_wheel_tells_pytest_of_its_plug_in(installed: Path) -> None:
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")

    assert "[pytest11]\nqatrix = qatrix.pytest_plugin\n" in entry_points.read_text(encoding="utf-8")


PACKED = {
    "runner", "matrix", "templates", "tests", "docs", "constraints", "reports", "tox.ini", "pyproject.toml",
    "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE",
}  # fmt: skip


@pytest.mark.processes
def test_without_a_checkout_the_sdist_holds_what_is_named_and_no_environment_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name in PACKED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / name, folder / name)
    for stray in ("env/bin/python", "node_modules/x.js", "notes.txt"):
        (folder / stray).parent.mkdir(parents=True, exist_ok=True)
        (folder / stray).touch()
    (sdist,) = SdistBuilder(str(folder)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(sdist) as archive:
        packed = {name.split("/")[1] for name in archive.getnames() if "/" in name}

    assert packed == PACKED | {"PKG-INFO"}


def test_version_changelog_and_citation_name_one_release() -> None:
    (changelog, *_) = re.findall(r"^## \[(\d[^]]*)\] - (\d{4}-\d\d-\d\d)$", read("CHANGELOG.md"), flags=re.MULTILINE)
    cited = re.findall(r"^(?:version|date-released): (.+)$", read("CITATION.cff"), flags=re.MULTILINE)

    assert changelog[0] == __version__
    assert tuple(cited) == changelog
    assert read("CHANGELOG.md").count("## [Unreleased]\n") == 1


def test_the_pythons_that_are_named_are_the_ones_that_are_taken() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    named = re.findall(r":: (3\.\d+)$", "\n".join(project["project"]["classifiers"]), flags=re.MULTILINE)

    assert project["project"]["requires-python"] == f">={named[0]}"
    assert f'python_version = "{named[0]}"' in read("pyproject.toml")
    assert f"base_python = {', '.join(f'python{version}' for version in named)}\n" in read("tox.ini")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.processes
def test_the_packaged_matrix_is_used_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    done = qatrix(installed, tmp_path, "check")

    assert done.returncode == 0, done.stderr
    assert f"{installed}/qatrix/matrix: no problems" in done.stdout


@pytest.mark.torch
def test_init_then_run_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    init = qatrix(installed, tmp_path, "init")
    run = qatrix(installed, tmp_path, "run", "--case", "ptq/conv_relu/dim=2*")

    assert init.returncode == 0, init.stderr
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("declared 2 = 2 exact\nnothing unexpected\n")
    assert (tmp_path / "reports/latest/index.html").is_file()


@pytest.mark.torch
@pytest.mark.slow
def test_the_page_for_a_model_of_ones_own_leads_from_an_empty_folder_to_a_verdict(
    installed: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    text = (ROOT / "docs/your-model.md").read_text(encoding="utf-8")
    begun = time.monotonic()
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        (tmp_path / block.partition("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    tried, saved, run = re.findall(r"^\$ (?:PYTHONPATH=\. )?qatrix (.*)$", text, flags=re.MULTILINE)
    subprocess.run([sys.executable, "files.py"], cwd=tmp_path, check=True, timeout=PATIENCE)
    assert {path.name for path in tmp_path.iterdir()} >= {"my_package.py", "weights.pt", "data"}

    first = qatrix(installed, tmp_path, *shlex.split(tried))
    # Told and not judged: how long it takes is the machine's.
    record_property("seconds from an empty folder to the first verdict", round(time.monotonic() - begun, 1))
    second = qatrix(installed, tmp_path, *shlex.split(saved))

    # The figures are those of one machine; what follows from them is not.
    (answer,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    title, *_, cause, advice = answer.splitlines()
    for done in (first, second):
        assert done.returncode == 1, done.stdout + done.stderr
        assert {cause, advice} <= set(done.stdout.splitlines()), done.stdout
    assert title in first.stdout.splitlines()
    assert (tmp_path / "reports/latest/index.html").is_file()
    assert qatrix(installed, tmp_path, *shlex.split(run.replace("run ", "check ", 1))).returncode == 0


DOCKERFILE = [
    (word, rest)
    for word, _, rest in (
        line.partition(" ")
        for line in (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
        if line[:1].isupper()
    )
]
# The stages of the image: the first builds the wheel, the second installs it. Nobody builds the image here.
BUILD, IMAGE = (
    [step for step in DOCKERFILE[start + 1 : end] if step[0] in {"COPY", "RUN"}]
    for starts in [[place for place, (word, _) in enumerate(DOCKERFILE) if word == "FROM"]]
    for start, end in zip(starts, [*starts[1:], len(DOCKERFILE)])
)


def run_lines(steps: list[tuple[str, str]], start: str) -> list[list[str]]:
    """The words of the commands of a stage that begin so."""
    return [shlex.split(rest) for word, rest in steps if word == "RUN" and rest.startswith(start)]


@pytest.mark.torch
def test_the_image_is_built_from_what_the_wheel_is_made_of(wheel: Path, tmp_path: Path) -> None:
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    for word, rest in BUILD:
        *names, target = rest.split()
        for name in names if word == "COPY" else ():
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                source.mkdir(exist_ok=True)
                shutil.copy(ROOT / name, source / target)
    (command,) = run_lines(BUILD, "python -m hatchling")
    words = [str(wheels) if word == "/wheels" else word for word in command[1:]]
    subprocess.run([sys.executable, *words], cwd=source, check=True, capture_output=True)
    (made,) = wheels.glob("*.whl")

    assert packed(made) == packed(wheel)


def test_the_image_gets_all_that_its_steps_copy() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {
        name for word, rest in (*BUILD, *IMAGE) if word == "COPY" and "--from" not in rest for name in rest.split()[:-1]
    }

    assert lines[0] == "*"
    assert {name.split("/")[0] for name in copied} == {line.strip("!/") for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.processes
def test_the_image_installs_the_wheel_in_a_tested_set_and_runs_what_works_in_an_empty_folder(
    installed: Path, tmp_path: Path
) -> None:
    ((*_, wheels),) = run_lines(IMAGE, "python -m pip install")
    commands = run_lines(IMAGE, "qatrix")

    assert wheels == "/wheels/*.whl"
    assert ("COPY", "constraints/torch-2.15.txt /constraints.txt") in IMAGE
    assert commands == [["qatrix", "check"]]
    for command in commands:
        assert qatrix(installed, tmp_path, *command[1:]).returncode == 0
    assert DOCKERFILE[-2:] == [("ENTRYPOINT", '["qatrix"]'), ("CMD", '["run"]')]
